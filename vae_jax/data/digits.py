"""scikit-learn's 1,797 digits of 8x8 pixels, values 0..16 scaled to 0..255."""

import numpy as np

from vae_jax.data.dataset import Split
from vae_jax.data.source import Loaded, Options, Source


def read() -> Split:
    """All images with their labels."""
    from sklearn import datasets  # takes a second to import

    digits = datasets.load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return Split(images[..., None], digits.target.astype(np.int32))


def _load(name: str, options: Options) -> Loaded:
    del name, options
    return Loaded({"train": read()})


SOURCE = Source(_load)
