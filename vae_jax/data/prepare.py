"""Builds the TFDS copy of an image set: from its original files, or by TFDS itself.

TFDS needs TensorFlow to build MNIST, but not to read it. `prepare(raw_dir=...)` keeps
TFDS's own builder, and with it the features, the order of the examples and the file
layout, and replaces only the reading of the original files: gzip and numpy in place of
TensorFlow. The result is the set that `tfds.data_source` reads.
"""

import contextlib
import gzip
import hashlib
import importlib.util
import io
import multiprocessing
import os
import pathlib
import sys
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from vae_jax.data import tfds_sources
from vae_jax.errors import ConfigError, DataError

_Files = dict[str, tuple[str, ...]]  # split -> (images, labels if there are any)
_IDX_FILES: _Files = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
RAW_FILES: dict[str, _Files] = {
    "mnist": _IDX_FILES,
    "fashion_mnist": _IDX_FILES,
    "binarized_mnist": {
        "train": ("binarized_mnist_train.amat",),
        "validation": ("binarized_mnist_valid.amat",),
        "test": ("binarized_mnist_test.amat",),
    },
}
_REACH_TIMEOUT_S = 10.0

Examples = Mapping[str, Iterable[Mapping[str, Any]]]  # split -> examples of TFDS


@tfds_sources.quiet_tfds()
def prepare(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    raw_dir: str | os.PathLike[str] | None = None,
    timeout_s: float = 3600.0,
) -> str:
    """Builds a set in array_record format, unless it is already there.

    The set appears in `data_dir` in one rename after the last byte is written: an
    interrupted build leaves at most a folder `incomplete.*` that nothing reads.

    Args:
        name: of a TFDS image set; with `raw_dir` one of `RAW_FILES`.
        data_dir: where TFDS keeps its sets; None is TFDS's default.
        raw_dir: folder with the original files, each plain or with .gz added. Their
            sha256 must be those that TFDS records. No network, no TensorFlow. None:
            TFDS downloads and builds, which needs both.
        timeout_s: limit for download and build by TFDS, in seconds.

    Returns:
        One line that says what is where.

    Raises:
        ConfigError: `raw_dir` with a set that has no offline recipe.
        DataError: an unknown set, a missing or changed original file, no TensorFlow or
            network, a time-out, or a place that can't be written.
    """
    directory = tfds_sources.resolve_data_dir(data_dir)
    builder = tfds_sources.find_set(name, directory)
    if builder is not None:
        return f"already there: {_summary(builder)}"
    if raw_dir is None:
        _build_by_tfds(name, directory, timeout_s)
    elif name in RAW_FILES:
        examples = _read_original_files(name, pathlib.Path(raw_dir).expanduser())
        build_offline(name, examples, directory)
    else:
        raise ConfigError(
            f"raw_dir builds {', '.join(RAW_FILES)}, not {name!r};"
            " without raw_dir TFDS downloads and builds a set itself"
        )
    builder = tfds_sources.find_set(name, directory)
    if builder is None:
        raise DataError(
            f"{name}: what lies in {directory} is no complete set, and TFDS builds"
            " nothing over it; delete it and run again"
        )
    return f"built: {_summary(builder)}"


def build_offline(name: str, examples: Examples, data_dir: pathlib.Path) -> None:
    """Writes examples as the TFDS set `name`, without TensorFlow.

    Args:
        name: a set that TFDS knows; its features must fit the examples.
        examples: for each split its examples, images as PNG or JPEG bytes.
        data_dir: where TFDS keeps its sets.

    Raises:
        DataError: `data_dir` can't be written.
    """
    import tensorflow_datasets as tfds

    original = tfds.builder_cls(name)
    with tfds.core.registered.skip_registration():

        class Offline(original):  # type: ignore[misc, valid-type]
            # TFDS finds the description and the folder of a set by these two.
            name = original.name
            __module__ = original.__module__

            def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
                return {split: enumerate(rows) for split, rows in examples.items()}

            def _generate_examples(self) -> None:
                raise NotImplementedError("the splits are generators already")

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        # TFDS prints "Downloading ...", which is not what happens here.
        with contextlib.redirect_stdout(io.StringIO()):
            Offline(data_dir=data_dir, file_format="array_record").download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except OSError as error:
        raise DataError(
            f"can't write {name} to data_dir {data_dir}: {error}"
        ) from error


def _read_original_files(name: str, raw_dir: pathlib.Path) -> Examples:
    """All files are read and checked before the first example is written."""
    records = _records(name)
    examples = {}
    for split, files in RAW_FILES[name].items():
        data = [_read_verified(raw_dir, file, *records[file]) for file in files]
        if len(data) == 1:
            examples[split] = _examples(_parse_amat(data[0]))
        else:
            images, labels = (gzip.decompress(content) for content in data)
            examples[split] = _examples(
                np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28),
                np.frombuffer(labels, np.uint8, offset=8),
            )
    return examples


def _records(name: str) -> dict[str, tuple[str, int, str]]:
    """TFDS's own record of a set's downloads: file name -> (URL, bytes, sha256)."""
    import tensorflow_datasets as tfds

    infos = tfds.builder_cls(name.split(":")[0].split("/")[0]).url_infos or {}
    return {
        url.rsplit("/", 1)[-1]: (url, int(info.size), info.checksum)
        for url, info in infos.items()
    }


def _read_verified(
    raw_dir: pathlib.Path, file: str, url: str, size: int, sha256: str
) -> bytes:
    path = raw_dir / file
    try:
        if path.is_file():
            data = path.read_bytes()
        else:
            path = raw_dir / f"{file}.gz"
            with gzip.open(path) as stream:
                data = stream.read(size + 1)  # a longer file is wrong anyway
    except FileNotFoundError:
        raise DataError(
            f"raw_dir: there is no {raw_dir / file}; the original is {url}"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"raw_dir: can't read {path}: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DataError(
            f"raw_dir: {path} is not the original {file}: expected sha256 {sha256}"
            f" (from TFDS), found {found}; the original is {url}"
        )
    return data


def _parse_amat(data: bytes) -> np.ndarray:
    """Text, one image a line, 784 digits with one space between: [N, 28, 28]."""
    return (np.frombuffer(data, np.uint8)[::2] - ord("0")).reshape(-1, 28, 28)


def _examples(
    images: np.ndarray, labels: np.ndarray | None = None
) -> Iterator[dict[str, Any]]:
    for index, image in enumerate(images):
        png = io.BytesIO()
        Image.fromarray(image).save(png, "PNG")
        example = {"image": png.getvalue()}
        yield example if labels is None else example | {"label": int(labels[index])}


def _build_by_tfds(name: str, data_dir: pathlib.Path, timeout_s: float) -> None:
    if not tfds_sources.known_to_tfds(name):
        raise tfds_sources.unknown_name(name)
    offline = ", or give --raw_dir with the original files" if name in RAW_FILES else ""
    if importlib.util.find_spec("tensorflow") is None:
        raise DataError(
            f"TFDS needs TensorFlow to build {name}: `pip install tensorflow`{offline}"
        )
    urls = [url for url, _, _ in _records(name).values() if url.startswith("http")]
    if urls and not any((data_dir / "downloads").rglob("*.INFO")):
        _check_reachable(urls[0], offline)
    # TFDS downloads without a time limit. A child process can be stopped whatever it
    # waits for.
    child = multiprocessing.get_context("spawn").Process(
        target=_download_and_prepare, args=(name, str(data_dir))
    )
    child.start()
    try:
        child.join(timeout_s)
        if child.is_alive():
            raise DataError(
                f"TFDS did not finish {name} in {timeout_s:g} s (see --timeout_s); run"
                " again to go on with the next file"
            )
    finally:
        child.terminate()
        child.join()
    if child.exitcode:
        raise DataError(f"TFDS failed to build {name}; its own message stands above")


def _check_reachable(url: str, offline: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_REACH_TIMEOUT_S):
            pass
    except OSError as error:
        raise DataError(
            f"can't reach {url} ({error}): check the network{offline}"
        ) from error


def _download_and_prepare(name: str, data_dir: str) -> None:
    import tensorflow_datasets as tfds

    tfds.builder(
        name, data_dir=data_dir, file_format="array_record"
    ).download_and_prepare()


def _summary(builder: Any) -> str:
    splits = ", ".join(
        f"{k} {v.num_examples:,}" for k, v in builder.info.splits.items()
    )
    return f"{builder.info.full_name} ({splits}) in {builder.data_dir}"
