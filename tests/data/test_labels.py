"""Labels of any kind become classes 0, ..., C - 1, or one line says why they can't."""

import numpy as np
import pytest

from vae_jax.data.labels import number_labels, why_not_classes


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 2, 3, 4],
        [2015, 2016, 2017, 2018, 2019],
        [3, 10_172, 200_000, 10_000_000, 2**62],  # none has its place as its number
    ],
)
def test_labels_that_occur_are_numbered_in_order(values):
    order = np.random.default_rng(0).integers(0, 5, 200)
    labels = np.array(values)[order]
    classes = number_labels({"train": labels[:150], "test": labels[150:]})
    np.testing.assert_array_equal(classes.values, values)
    np.testing.assert_array_equal(classes.numbers["train"], order[:150])
    np.testing.assert_array_equal(classes.numbers["test"], order[150:])
    assert why_not_classes(classes, 1000) is None


def test_negative_labels_are_none_and_no_class():
    labels = {"train": np.array([7, -1, 9, -5]), "test": np.array([-1, 8, 7])}
    classes = number_labels(labels)
    np.testing.assert_array_equal(classes.values, [7, 8, 9])  # 8 in the test split only
    np.testing.assert_array_equal(classes.numbers["train"], [0, -1, 2, -1])
    np.testing.assert_array_equal(classes.numbers["test"], [-1, 1, 0])


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (np.arange(100) % 10, np.arange(10), None),
        (np.arange(99) % 10, np.arange(10), "10 labels for 99 training images"),
        (np.arange(100) % 10, np.arange(11), "11 labels for 100"),
        (np.arange(10_000), np.arange(10), "10000 labels for 10000"),
        (np.arange(60_000) % 2000, np.arange(10), None),
        (np.arange(60_000) % 2001, np.arange(10), "2001 labels for 20000 training"),
        (np.full(100, -1), np.arange(10), "0 training and 10 test images have a label"),
        (np.arange(100) % 10, np.full(5, -1), "100 training and 0 test images"),
        (np.full(100, 3), np.full(5, 3), "have the same, 3"),
        (np.array([], int), np.array([], int), "0 training and 0 test"),
    ],
)
def test_labels_without_enough_images_say_why(train, test, message):
    found = why_not_classes(number_labels({"train": train, "test": test}), 20_000)
    if message is None:
        assert found is None
    else:
        assert message in found
        assert "\n" not in found
