"""Large arrays are looked at in parts."""

import tracemalloc

import numpy as np
import pytest

from vae_jax.data import arrays, examples
from vae_jax.data.dataset import Dataset, Split
from vae_jax.data.examples import in_parts


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(examples, "AT_ONCE", 2**14)


def test_parts_are_the_array_and_none_is_larger():
    array = np.arange(5 * 2**12, dtype=np.uint8).reshape(-1, 8, 8)
    parts = list(in_parts(array))
    np.testing.assert_array_equal(np.concatenate(parts), array)
    assert max(part.nbytes for part in parts) == 2**14
    assert [len(part) for part in in_parts(np.zeros((2, 2**15)))] == [1, 1]


def levels(images):
    split = Split(images)
    return Dataset("made", split, split, split).levels


def test_the_last_part_counts_too():
    images = np.zeros((1000, 28, 28, 1), np.uint8)
    assert levels(images) == "binary"
    images[-1, -1, -1] = 7
    assert levels(images) == "8bit"
    floats = images.astype(np.float32) / 255
    stored = arrays.to_bytes_or_float32({"train": floats})["train"]
    np.testing.assert_array_equal(stored, images)
    assert stored.dtype == np.uint8
    floats[-1, -1, -1] += 0.001
    assert arrays.to_bytes_or_float32({"train": floats})["train"].dtype == np.float32


@pytest.mark.parametrize("look", [levels, arrays._is_8bit])
def test_looking_at_images_takes_little_memory(look):
    dtype = np.uint8 if look is levels else np.float32
    images = np.zeros((5000, 28, 28, 1), dtype)
    tracemalloc.start()
    try:
        look(images)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < images.nbytes / 10
