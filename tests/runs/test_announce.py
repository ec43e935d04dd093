"""What is said of the data before training."""

import gzip

import numpy as np
import pytest

from tests.runs_helpers import small_config
from vae_jax.data.dataset import Dataset, Split
from vae_jax.runs.announce import announce, unused_gpu


@pytest.fixture
def said(caplog):
    """What `announce` logs of images: the description, and a warning if any."""

    def say(images: np.ndarray, **fields: object) -> list[str]:
        splits = (Split(images[i::3]) for i in range(3))
        caplog.clear()
        with caplog.at_level("INFO", "absl"):
            announce(small_config(**fields), Dataset("folder:x", *splits))
        return [record.message for record in caplog.records if record.name == "absl"]

    return say


def test_grey_images_that_binarisation_turns_into_noise(said):
    rng = np.random.default_rng(0)
    grey = rng.integers(80, 180, (30, 8, 8, 1), np.uint8)
    line, warning = said(grey)
    assert line == "folder:x: 30 images 8x8x1: train 10, validation 10, test 10"
    assert "data.binarize=dynamic turns folder:x into noise: 9" in warning
    assert "data.binarize=none and model.likelihood=logistic" in warning
    assert "configs/photos.py" in warning
    for fields in ({"data.binarize": "none"}, {"data.binarize": "threshold"}):
        assert said(grey, **fields) == [line]
    strokes = (rng.random((30, 8, 8, 1)) < 0.2) * np.uint8(230)
    assert said(strokes) == [line]


def test_real_images(said, raw_data):
    """Digits and clothes may be binarised, photographs may not."""
    for name in ("mnist", "fashion_mnist"):
        with gzip.open(raw_data / name / "t10k-images-idx3-ubyte.gz") as file:
            images = np.frombuffer(file.read(), np.uint8, offset=16)
        assert len(said(images.reshape(-1, 28, 28, 1))) == 1
    with np.load(raw_data / "cifar10_subset" / "cifar10_subset.npz") as archive:
        photos = archive["test_images"]
    assert "74% of the variance" in said(photos)[1]


def test_a_driver_without_cuda_packages_is_told():
    facts = {"platform": "cpu", "has_driver": True, "has_plugin": False, "chosen": ""}
    line = unused_gpu(**facts)
    assert line is not None and "\n" not in line
    assert "pip install 'jax[cuda12]'" in line
    for other in (
        {"platform": "gpu"},
        {"has_driver": False},
        {"has_plugin": True},
        {"chosen": "cpu"},
    ):
        assert unused_gpu(**facts | other) is None
