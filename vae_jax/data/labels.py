"""Labels as classes: outside numbers become 0, ..., C - 1 before they are an index."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

# With fewer images of a class a small classifier learns the images, not the class. It
# also bounds the number of its outputs by a tenth of the images that it sees.
IMAGES_PER_CLASS = 10


class Classes(NamedTuple):
    """The labels of all splits, numbered; from `number_labels`."""

    values: np.ndarray  # [C], the labels that occur in any split, ascending
    # Of each split [N], int32: place of each label in `values`; -1: unlabelled.
    numbers: dict[str, np.ndarray]


def number_labels(labels: Mapping[str, np.ndarray]) -> Classes:
    """Numbers the labels that occur, so that ids and years can be labels, too.

    Args:
        labels: labels of each split, whole numbers [N]; negative: unlabelled.

    Returns:
        The `Classes` of all splits, numbered together.
    """
    together = np.concatenate(list(labels.values()))
    labelled = together >= 0
    values, places = np.unique(together[labelled], return_inverse=True)
    numbered = np.full(together.shape, -1, np.int32)
    numbered[labelled] = places
    ends = np.cumsum([len(own) for own in labels.values()])[:-1]
    return Classes(values, dict(zip(labels, np.split(numbered, ends), strict=True)))


def why_not_all_labelled(classes: Classes) -> str | None:
    """Which images have no label, in one line; None if all have one.

    Args:
        classes: class numbers of each split.
    """
    for split, numbers in classes.numbers.items():
        if missing := int((numbers < 0).sum()):
            return f"{missing} of {len(numbers)} images of the {split} split have none"
    return None


def why_not_classes(classes: Classes, max_train: int) -> str | None:
    """Why a classifier of these labels would be meaningless.

    It needs two classes, labelled images to train on and to test with, and on average
    `IMAGES_PER_CLASS` labelled training images of a class.

    Args:
        classes: class numbers of each split, at least of train and test.
        max_train: largest number of training images it may use.

    Returns:
        The reason in one line, or None if there is none.
    """
    num_classes = len(classes.values)
    num_train = min(int((classes.numbers["train"] >= 0).sum()), max_train)
    num_test = int((classes.numbers["test"] >= 0).sum())
    if not num_train or not num_test:
        return f"{num_train} training and {num_test} test images have a label"
    if num_classes == 1:
        return f"all images that have a label have the same, {classes.values[0]}"
    if num_train < IMAGES_PER_CLASS * num_classes:
        return (
            f"there are {num_classes} labels for {num_train} training images, fewer"
            f" than {IMAGES_PER_CLASS} images a label"
        )
    return None
