"""scikit-learn's 1,797 digits of 8x8 pixels, values 0..16 scaled to 0..255.

Its file is read where it lies: to import scikit-learn takes seconds.
"""

import importlib.metadata
import pathlib

import numpy as np

from vae_jax.data.dataset import Split
from vae_jax.data.source import Loaded, Options, Source

_FILE = "sklearn/datasets/data/digits.csv.gz"


def read() -> Split:
    """All images with their labels."""
    values, labels = _values_and_labels()
    images = np.round(values * (255 / 16)).astype(np.uint8)
    return Split(images.reshape(-1, 8, 8, 1), labels.astype(np.int32))


def _values_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Pixels [N, 64] and labels [N]."""
    package = importlib.metadata.distribution("scikit-learn")
    path = pathlib.Path(str(package.locate_file(_FILE)))
    if path.is_file():
        rows = np.loadtxt(path, delimiter=",")  # which reads gzip
        return rows[:, :-1], rows[:, -1]
    # A version that keeps it elsewhere.
    from sklearn import datasets

    digits = datasets.load_digits()
    return digits.data, digits.target


def _load(name: str, options: Options) -> Loaded:
    del name, options
    return Loaded({"train": read()})


SOURCE = Source(_load)
