"""Tables of numbers that come with a package, read without importing it."""

import gzip
import importlib.metadata
import pathlib
import zlib

import numpy as np
from numpy.typing import DTypeLike

from vae_jax.errors import DataError


def find(name: str, package: str, file: str) -> pathlib.Path:
    """The path that a file of a package should have.

    Args:
        name: the data set, for the message.
        package: as pip knows it.
        file: path of the file below the folder of packages.

    Raises:
        DataError: the package is not installed.
    """
    try:
        found = importlib.metadata.distribution(package).locate_file(file)
    except importlib.metadata.PackageNotFoundError:
        raise DataError(
            f"{name}: the images come with {package}, which is not installed:"
            f" `pip install {package}`"
        ) from None
    return pathlib.Path(str(found))


def read_rows(name: str, path: pathlib.Path, dtype: DTypeLike) -> np.ndarray:
    """The rows of a compressed CSV, [N, columns].

    Args:
        name: the data set, for the message.
        path: FILE.csv.gz.
        dtype: type of the numbers.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        with gzip.open(path, "rt") as file:
            return np.loadtxt(file, dtype, delimiter=",", ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{name}: can't read {path}: {error}") from error
