"""Labels as classes: outside numbers become 0, ..., C - 1 before they are an index."""

from typing import NamedTuple

import numpy as np

# With fewer images of a class a small classifier learns the images, not the class. It
# also bounds the number of its outputs by a tenth of the images that it sees.
IMAGES_PER_CLASS = 10


class Classes(NamedTuple):
    """The labels of two splits, numbered; from `number_labels`."""

    values: np.ndarray  # [C], the labels that occur in either, ascending
    train: np.ndarray  # [N], int32: place of each label in `values`; -1: unlabelled
    test: np.ndarray  # [M], likewise


def number_labels(train: np.ndarray, test: np.ndarray) -> Classes:
    """Numbers the labels that occur, so that ids and years can be labels, too.

    Args:
        train: labels of one split, whole numbers [N]; negative: unlabelled.
        test: of another, [M].

    Returns:
        The Classes of both splits together.
    """
    both = np.concatenate([train, test])
    labelled = both >= 0
    values, places = np.unique(both[labelled], return_inverse=True)
    numbered = np.full(both.shape, -1, np.int32)
    numbered[labelled] = places
    return Classes(values, numbered[: len(train)], numbered[len(train) :])


def why_not_classes(classes: Classes, max_train: int) -> str | None:
    """Why a classifier of these labels would say nothing.

    It needs two classes, labelled images in both splits, and on average
    `IMAGES_PER_CLASS` labelled training images of a class.

    Args:
        classes: of both splits.
        max_train: how many training images it sees at the most.

    Returns:
        One line, or None if there is nothing against it.
    """
    num_classes = len(classes.values)
    num_train = min(int((classes.train >= 0).sum()), max_train)
    num_test = int((classes.test >= 0).sum())
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
