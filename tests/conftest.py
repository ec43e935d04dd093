"""Settings that hold for every test."""

import os
import pathlib

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def raw_data() -> pathlib.Path:
    """The folder with the original MNIST files, for tests on real images.

    `VAE_JAX_RAW_DATA`, or `shared/data` beside the checkout.
    """
    folder = os.environ.get("VAE_JAX_RAW_DATA", REPOSITORY.parent / "shared" / "data")
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        pytest.skip(f"needs the original data files; there are none in {folder}")
    return folder
