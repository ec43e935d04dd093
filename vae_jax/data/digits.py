"""scikit-learn's 1,797 digits of 8x8 pixels, values 0..16 scaled to 0..255.

Its file is read where it lies: to import scikit-learn takes seconds.
"""

import numpy as np

from vae_jax.data import packaged
from vae_jax.data.dataset import Split
from vae_jax.data.source import Loaded, Source
from vae_jax.errors import DataError

_FILE = "sklearn/datasets/data/digits.csv.gz"


def read() -> Split:
    """All images with their labels.

    Raises:
        DataError: scikit-learn is not installed, or its file is damaged.
    """
    values, labels = _values_and_labels()
    images = np.round(values * (255 / 16)).astype(np.uint8)
    return Split(images.reshape(-1, 8, 8, 1), labels.astype(np.int32))


def _values_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Pixels [N, 64] and labels [N]."""
    path = packaged.find("digits", "scikit-learn", _FILE)
    if path.is_file():
        rows = packaged.read_rows("digits", path, float)
        if rows.shape[1] != 8 * 8 + 1:
            raise DataError(f"digits: {path} does not hold images of 8x8 pixels")
        return rows[:, :-1], rows[:, -1]
    # A version that keeps it elsewhere.
    from sklearn import datasets

    digits = datasets.load_digits()
    return digits.data, digits.target


SOURCE = Source(lambda name, options: Loaded({"train": read()}))
