"""Arrays of a user's own: an npz file to splits, or to the images for a model.

Rows of numbers [N, D] are kept as images [N, 1, D, 1], so that whatever handles images
handles them, too.
"""

import contextlib
import pathlib
import re
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vae_jax.data.arrays import are_rows, check, stored, to_bytes_or_float32
from vae_jax.data.dataset import SPLITS, Split
from vae_jax.data.factors import check_factors
from vae_jax.data.source import Loaded, Source
from vae_jax.data.spec import DataSpec
from vae_jax.errors import DataError
from vae_jax.paths import local_path

_NAMES = "factor_names"


def read_splits(path: str) -> Loaded:
    """The splits of an npz file: `x_train`, and optionally `x_validation`, `x_test`.

    Images are [N, H, W] or [N, H, W, C] with C from 1 to 4; uint8, bool, or float in
    [0, 1]. Floats that are all multiples of 1/255 become uint8, which loses nothing;
    other floats float32. Or they are rows of real numbers, floats [N, D], which become
    float32 [N, 1, D, 1]. Labels are the whole numbers `y_train`, ..., [N], factors of
    variation the whole numbers from 0 `factors_train`, ..., [N, F], and their names the
    strings `factor_names` [F].

    Args:
        path: npz file to read.

    Returns:
        The splits, with the names of their factors.

    Raises:
        DataError: the file is missing or damaged, or an array of a wrong name, shape,
            dtype or range.
    """
    file = local_path(path)
    where = f"npz:{path}"
    with open_npz(file, where) as archive:
        found = archive.files
        keys = [f"{part}_{split}" for split in SPLITS for part in ("x", "y", "factors")]
        keys.append(_NAMES)
        arrays = {key: np.asarray(archive[key]) for key in keys if key in found}
    if "x_train" not in arrays:
        raise DataError(
            f"{where}: no array x_train; it has {', '.join(found) or 'none at all'}"
        )
    for key in found:
        if key not in keys and re.match("(x|y|factors)_", key, re.IGNORECASE):
            raise DataError(
                f"{where}: {key} is not read; names of arrays are {', '.join(keys)}"
            )
    is_rows = are_rows(arrays["x_train"])
    images = {}
    for split in SPLITS:
        if f"x_{split}" in arrays:
            name, array = f"{where}: x_{split}", arrays[f"x_{split}"]
            images[split] = check(name, array, is_rows)
            continue
        for part in ("y", "factors"):
            if f"{part}_{split}" in arrays:
                raise DataError(f"{where}: {part}_{split} without x_{split}")
    for split, x in images.items():
        first = images["train"]
        if x.shape[1:] != first.shape[1:] or x.dtype.kind != first.dtype.kind:
            kind, shape, expected = "images", x.shape[1:], first.shape[1:]
            if is_rows:
                kind, shape, expected = "rows", shape[1:2], expected[1:2]
            raise DataError(
                f"{where}: x_{split} has {x.dtype} {kind} of shape {shape}, but"
                f" x_train {first.dtype} of {expected}"
            )
    splits = {
        split: Split(
            x,
            _check_labels(where, f"y_{split}", arrays, len(x)),
            factors=arrays.get(f"factors_{split}"),
        )
        for split, x in (images if is_rows else to_bytes_or_float32(images)).items()
    }
    names = _check_names(where, arrays.get(_NAMES))
    return Loaded(splits, factor_names=names, is_rows=is_rows)


def read_arrays(file: pathlib.Path, spec: DataSpec) -> np.ndarray:
    """The images of an npz file that is not a data set: `x_test`, or the only array.

    Args:
        file: its path.
        spec: the form of the data that a model was trained on.

    Returns:
        Array [N, H, W, C], uint8 or float32, as a data set of that form has it.

    Raises:
        DataError: no such array, or one that `load_dataset` would refuse.
    """
    with open_npz(file, str(file)) as archive:
        names = ["x_test"] if "x_test" in archive.files else archive.files
        if len(names) != 1:
            raise DataError(
                f"{file}: must hold the images as x_test, or as its only array; it has"
                f" {', '.join(names) or 'none at all'}"
            )
        array = np.asarray(archive[names[0]])
    return stored(f"{file}: {names[0]}", array, spec)


class Known(NamedTuple):
    """What an npz file that is not a data set says of its N images."""

    labels: np.ndarray | None  # [N], whole numbers
    factors: np.ndarray | None  # [N, F], whole numbers from 0
    factor_names: tuple[str, ...] | None  # F


def read_known(file: pathlib.Path, num: int) -> Known:
    """`y_test`, `factors_test` and `factor_names`, as far as a file has them.

    Args:
        file: its path.
        num: how many images it holds.

    Returns:
        What it says of them.

    Raises:
        DataError: they are no labels, or no factors, of so many images.
    """
    with open_npz(file, str(file)) as archive:
        wanted = ("y_test", "factors_test", _NAMES)
        arrays = {n: np.asarray(archive[n]) for n in archive.files if n in wanted}
    labels = _check_labels(str(file), "y_test", arrays, num)
    factors = arrays.get("factors_test")
    names = _check_names(str(file), arrays.get(_NAMES))
    check_factors(str(file), {"test": factors}, {"test": num}, names)
    return Known(labels, factors, names)


@contextlib.contextmanager
def open_npz(file: pathlib.Path, where: str) -> Iterator["np.lib.npyio.NpzFile"]:
    """NumPy's NpzFile; whatever fails while it is read is a DataError.

    Args:
        file: its path.
        where: what a message begins with.
    """
    if not file.is_file():
        raise DataError(f"{where}: there is no file {file}")
    if not zipfile.is_zipfile(file):
        raise DataError(f"{where}: not an npz file (numpy.savez writes them)")
    try:
        with np.load(file, allow_pickle=False) as archive:
            yield archive
    except DataError:
        raise
    except Exception as error:  # a damaged zip raises a dozen types
        raise DataError(f"{where}: can't be read ({error})") from error


def _check_labels(
    where: str, key: str, arrays: dict[str, np.ndarray], size: int
) -> np.ndarray | None:
    if key not in arrays:
        return None
    labels = arrays[key]
    if labels.shape == (size, 1):
        labels = labels[:, 0]
    if labels.shape != (size,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{where}: {key} is {labels.dtype} of shape {labels.shape}; it must hold"
            f" {size} integers, one for each image"
        )
    if labels.size and labels.max() > np.iinfo(np.int64).max:
        raise DataError(
            f"{where}: {key} goes up to {labels.max()}; labels must be below 2**63"
        )
    return labels.astype(np.int64)


def _check_names(where: str, names: np.ndarray | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    if names.dtype.kind != "U" or names.ndim != 1:
        raise DataError(
            f"{where}: {_NAMES} is {names.dtype} of shape {names.shape}; it must hold"
            " one string for each factor"
        )
    return tuple(map(str, names))


SOURCE = Source(lambda name, options: read_splits(name.partition(":")[2]), path="file")
