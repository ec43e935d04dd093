"""The original files of a set of TFDS: what is recorded of them, and where they lie."""

import gzip
import hashlib
import logging
import pathlib
import zlib
from collections.abc import Iterable, Mapping
from typing import BinaryIO, NamedTuple, cast

from vae_jax.data.download import download, sha256_of
from vae_jax.errors import DataError

_log = logging.getLogger(__name__)


class Record(NamedTuple):
    """What TFDS records of an original file."""

    url: str
    size: int  # bytes
    sha256: str


class Original(NamedTuple):
    """An original file whose content was found right."""

    path: pathlib.Path
    zipped: bool = False  # somebody has gzipped it

    def open(self) -> BinaryIO:
        """The file's bytes as a stream."""
        stream = gzip.open(self.path) if self.zipped else open(self.path, "rb")
        return cast(BinaryIO, stream)

    def read(self) -> bytes:
        """All of the file's bytes."""
        with self.open() as stream:
            return stream.read()


Files = Mapping[str, Original]  # by the name that ends the URL


def records(set_name: str) -> dict[str, Record]:
    """TFDS's records of a set, by the name that ends the URL; {} if it has none."""
    import tensorflow_datasets as tfds

    infos = tfds.builder_cls(set_name).url_infos or {}
    return {
        url.rsplit("/", 1)[-1]: Record(url, int(info.size), info.checksum)
        for url, info in infos.items()
    }


def collect(
    names: Iterable[str],
    known: Mapping[str, Record],
    raw_dir: pathlib.Path | None,
    downloads: pathlib.Path,
) -> dict[str, Original]:
    """Finds original files, or downloads them, and compares each with its record.

    Looked for in `raw_dir`, as they are or with .gz added, then in `downloads`.

    Args:
        names: of the files.
        known: their records.
        raw_dir: folder of files got by hand, or None.
        downloads: where downloaded files are kept.

    Returns:
        The files by name, all of them right.

    Raises:
        DataError: `raw_dir` is no folder or holds a file that is not the original; or a
            download fails.
    """
    if raw_dir is not None and not raw_dir.is_dir():
        raise DataError(f"raw_dir: there is no folder {raw_dir}")
    found = {}
    for name in names:
        record = known[name]
        by_hand = raw_dir and _by_hand(raw_dir, name, record)
        found[name] = by_hand or _downloaded(downloads / name, record)
    return found


def _by_hand(raw_dir: pathlib.Path, name: str, record: Record) -> Original | None:
    for original in (
        Original(raw_dir / name),
        Original(raw_dir / f"{name}.gz", zipped=True),
    ):
        if not original.path.is_file():
            continue
        try:
            with original.open() as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"raw_dir: can't read {original.path}: {error}") from error
        if sha256 != record.sha256:
            raise DataError(
                f"raw_dir: {original.path} is not the original {name}: expected sha256"
                f" {record.sha256} (from TFDS), found {sha256}; the original is"
                f" {record.url}"
            )
        return original
    return None


def _downloaded(path: pathlib.Path, record: Record) -> Original:
    if path.is_file():
        if sha256_of(path) == record.sha256:
            return Original(path)
        _log.warning("%s has changed since it came: it is downloaded anew", path)
        path.unlink()
    download(record.url, path, size=record.size, sha256=record.sha256)
    return Original(path)
