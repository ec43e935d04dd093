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
    """Address, size and checksum of an original file, as TFDS records them."""

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


def by_hand(
    names: Iterable[str], known: Mapping[str, Record], raw_dir: pathlib.Path
) -> dict[str, Original]:
    """The original files that lie in a folder, as they are or with .gz added.

    Args:
        names: names of the files to look for.
        known: their records.
        raw_dir: the folder.

    Returns:
        The paths of the files that were found.

    Raises:
        DataError: there is no such folder, or a file can't be read or is not the
            original.
    """
    if not raw_dir.is_dir():
        raise DataError(f"raw_dir: there is no folder {raw_dir}")
    found = {}
    for name in names:
        plain = Original(raw_dir / name)
        zipped = Original(raw_dir / f"{name}.gz", zipped=True)
        for original in (plain, zipped):
            if name not in found and original.path.is_file():
                _check_by_hand(original, name, known[name])
                found[name] = original
    return found


def downloaded(
    names: Iterable[str], known: Mapping[str, Record], folder: pathlib.Path
) -> dict[str, Original]:
    """Original files that are kept in a folder, downloaded where they are missing.

    A file's checksum is compared at every use, so that one that has changed
    is downloaded again.

    Args:
        names: names of the files to download.
        known: their records.
        folder: where they are kept.

    Returns:
        The paths of all files.

    Raises:
        DataError: a download fails, see `download.download`.
    """
    found = {}
    for name in names:
        url, size, sha256 = known[name]
        path = folder / name
        if path.is_file() and sha256_of(path) != sha256:
            _log.warning(
                "%s has changed since its download: downloading it again", path
            )
            path.unlink()
        if not path.is_file():
            download(url, path, size=size, sha256=sha256)
        found[name] = Original(path)
    return found


def _check_by_hand(original: Original, name: str, record: Record) -> None:
    try:
        with original.open() as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"raw_dir: can't read {original.path}: {error}") from error
    if found != record.sha256:
        raise DataError(
            f"raw_dir: {original.path} is not the original {name}: expected sha256"
            f" {record.sha256} (from TFDS), found {found}; the original is {record.url}"
        )
