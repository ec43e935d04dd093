"""Which training images keep their label, and how they come into batches."""

import jax
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from vae_jax.data.batches import (
    InMemoryBatches,
    batch_indices,
    grouped_indices,
    groups_of,
)
from vae_jax.data.dataset import Dataset, Split
from vae_jax.data.labelled import with_few_labels
from vae_jax.data.streaming import StreamedBatches
from vae_jax.errors import ConfigError, DataError

SIZES = (40, 25, 31)  # training images of the labels 5, 7 and 9
VALUES = (5, 7, 9)
LABELS = np.random.default_rng(0).permutation(np.repeat(VALUES, SIZES))
NUM = len(LABELS)
IMAGES = np.arange(NUM, dtype=np.uint8).reshape(NUM, 1, 1, 1)
BOTH = ("image", "label")


def dataset(labels=LABELS):
    own = Split(IMAGES, labels)
    return Dataset("set", own, own.take(np.arange(9)), own.take(np.arange(20)))


def labels_of(num_labelled, seed=0):
    return with_few_labels(dataset(), num_labelled, seed).examples("train", BOTH)[
        "label"
    ]


def test_as_many_images_of_each_class_keep_their_label():
    for num in (3, 30, 75):
        found = labels_of(num)
        known = found >= 0
        assert known.sum() == num
        np.testing.assert_array_equal(np.bincount(found[known]), [num // 3] * 3)
        np.testing.assert_array_equal(np.array(VALUES)[found[known]], LABELS[known])


def test_the_choice_depends_on_the_seed_alone():
    np.testing.assert_array_equal(labels_of(30), labels_of(30))
    assert (labels_of(30) != labels_of(30, seed=1)).any()


def test_what_is_measured_on_keeps_all_labels():
    few = with_few_labels(dataset(), 3, 0)
    for split in ("validation", "test"):
        assert (few.examples(split, BOTH)["label"] >= 0).all()
    assert few.fingerprint == dataset().fingerprint
    assert few.notes == ("3 training images keep their label",)


def test_numbers_of_labels_that_can_not_be_had_are_one_line():
    for num, message in {
        31: r"num_labelled=31: must be a multiple of 3, the number of classes of set",
        78: r"num_labelled=78: takes 26 .* of each class, and set has 25 with .* 7",
    }.items():
        with pytest.raises(ConfigError, match=message):
            labels_of(num)
    with pytest.raises(DataError, match="num_labelled=3 needs .* no image has a label"):
        with_few_labels(dataset(None), 3, 0)


def examples():
    return with_few_labels(dataset(), 12, 0).examples("train", BOTH)


def test_labelled_rows_come_first_and_have_epochs_of_their_own():
    label = examples()["label"]
    groups = groups_of(examples(), batch_size=10, num_labelled=4)
    rows = grouped_indices(1, 0, 28, groups)
    assert rows.shape == (28, 10)
    assert (label[rows[:, :4]] >= 0).all() and (label[rows[:, 4:]] < 0).all()
    for first, size, per_epoch in ((0, 4, 3), (4, 6, 14)):
        own = rows[:, first : first + size]
        for start in range(0, 28 - per_epoch + 1, per_epoch):
            epoch = own[start : start + per_epoch].ravel()
            assert len(set(epoch.tolist())) == per_epoch * size
        assert (own[:per_epoch] != own[per_epoch : 2 * per_epoch]).any()


def test_batches_are_a_function_of_seed_and_step():
    """So that a resumed run sees what one that never stopped would have seen."""
    groups = groups_of(examples(), batch_size=10, num_labelled=4)
    whole = grouped_indices(1, 0, 20, groups)
    for start, length in ((0, 3), (3, 9), (7, 13)):
        part = grouped_indices(1, start, length, groups)
        np.testing.assert_array_equal(part, whole[start : start + length])
    assert (whole != grouped_indices(2, 0, 20, groups)).any()


def test_one_group_is_the_training_set_in_its_usual_order():
    groups = groups_of(IMAGES, batch_size=10, num_labelled=0)
    same = grouped_indices(3, 2, 20, groups) == batch_indices(3, 2, 20, NUM, 10)
    assert same.all()


def test_a_stream_has_the_batches_of_memory():
    order = {"seed": 4, "batch_size": 10, "labelled_batch_size": 4}
    in_memory = InMemoryBatches(examples(), **order)
    streamed = StreamedBatches(
        examples(),
        **order,
        num_steps=30,
        read_ahead=3,
        sharding=SingleDeviceSharding(jax.devices()[0]),
    )
    for start in (12, 15, 0):
        own, rows = in_memory(start, 3, 3)
        batch, _ = streamed(start, 3, 3)
        for part in BOTH:
            np.testing.assert_array_equal(batch[part], own[part][rows])


def test_too_few_images_for_a_batch_are_one_line():
    for size, num, message in (
        (60, 13, "a batch takes 13 labelled training images, and there are 12"),
        (96, 4, "a batch takes 92 unlabelled training images, and there are 84"),
        (97, 0, "batch_size=97: must be above 0, and at most the 96 training images"),
        (0, 0, "batch_size=0: must be above 0"),
        (4, 4, "labelled_batch_size=4: must be above 0, and below data.batch_size=4"),
    ):
        with pytest.raises(ConfigError, match=message):
            groups_of(examples(), size, num)
