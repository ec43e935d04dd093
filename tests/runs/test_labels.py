"""Labels from outside never become a size or an index of the classifier."""

import dataclasses
import logging

import numpy as np
import pytest

from tests.runs_helpers import small_config
from vae_jax.data.dataset import Dataset, Split
from vae_jax.data.examples import IMAGE
from vae_jax.evaluation import data
from vae_jax.runs.run_data import run_data

NUM = 120
CLASSES = np.arange(NUM) % 4


def data_of(train, test):
    images = np.random.default_rng(0).integers(0, 256, (NUM, 3, 4, 1), np.uint8)
    images[..., 0, 0] = (60 * CLASSES)[:, None]
    splits = [Split(images, labels) for labels in (train, test, test)]
    return run_data(small_config(), Dataset("set", *splits), IMAGE)


@pytest.fixture
def seen(monkeypatch):
    """What the classifier is given, in the place of its training."""
    calls = []

    def fit_classifier(
        x, labels, heldout_x, heldout_labels, key, *, num_classes, standardize
    ):
        assert not standardize  # images
        arrays = map(np.asarray, (x, labels, heldout_x, heldout_labels))
        calls.append((*arrays, num_classes))
        return "a classifier"

    monkeypatch.setattr(data, "fit_classifier", fit_classifier)
    return calls


@pytest.mark.parametrize("start", [2015, 200_000, 10_000_000, 2**40])
def test_ids_and_years_are_classified_as_0_to_3_are(seen, start):
    for labels in (CLASSES, start + CLASSES):
        assert data_of(labels, labels[::-1]).classifier == "a classifier"
    for plain, numbered in zip(*seen, strict=True):
        np.testing.assert_array_equal(plain, numbered)
    assert seen[1][-1] == 4


def test_images_without_a_label_are_left_out(seen):
    """Elsewhere -1 is the last class in training, and wrong in the accuracy."""
    some = np.where(np.arange(NUM) % 3 == 0, -1, CLASSES)
    whole = data_of(CLASSES, CLASSES)
    assert data_of(some, some).classifier
    x, labels, heldout_x, heldout_labels, num_classes = seen[0]
    labelled = np.flatnonzero(some >= 0)
    assert num_classes == 4
    np.testing.assert_array_equal(labels, CLASSES[labelled])
    np.testing.assert_array_equal(heldout_labels, CLASSES[labelled])
    np.testing.assert_array_equal(x, whole.train.x(labelled))
    np.testing.assert_array_equal(heldout_x, whole.heldout.x(labelled))


def test_without_a_label_among_the_images_measured_there_is_no_classifier(seen):
    found = data_of(CLASSES, np.where(np.arange(NUM) == 0, 0, -1))
    assert found.classifier
    part = dataclasses.replace(found, heldout=found.heldout.some(NUM))
    none = np.full(len(part.heldout), -1)
    part = dataclasses.replace(
        part, heldout=dataclasses.replace(part.heldout, classes=none)
    )
    assert part.classifier is None


def test_a_label_of_one_split_only_is_a_class_too(seen):
    data_of(np.minimum(CLASSES, 2), CLASSES).classifier  # noqa: B018
    data_of(CLASSES, np.minimum(CLASSES, 2)).classifier  # noqa: B018
    assert [call[-1] for call in seen] == [4, 4]


def test_too_many_labels_leave_the_numbers_undefined_with_a_line(seen, caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        assert data_of(10_000_000 + np.arange(NUM), CLASSES).classifier is None
    assert not seen
    (message,) = (record.getMessage() for record in caplog.records)
    assert "about labels are not defined: there are 124 labels for 120" in message
