"""A data set in one line, for a user to see before training."""

from collections.abc import Sequence

import numpy as np

from vae_jax.data.dataset import Dataset
from vae_jax.errors import one_line

_NAMES_SHOWN = 8  # classes that a line lists by name


def describe(dataset: Dataset) -> str:
    """One line that says what a data set holds, for a user to see before training.

    For example `folder:PETS: 90 images 16x16x3 in 3 classes (bird, cat, dog): train 72,
    validation 9, test 9; 12 files skipped: 8 .txt, 4 hidden`.
    """
    splits = dataset.splits
    total = sum(map(len, splits.values()))
    form = form_of(dataset.image_shape, dataset.is_rows)
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in splits.items())
    line = f"{total:,} {form}{_classes(dataset)}{_factors(dataset)}: {sizes}"
    return one_line("; ".join([f"{dataset.name}: {line}", *dataset.notes]))


def form_of(image_shape: Sequence[int], is_rows: bool) -> str:
    """`images 28x28x1`, or `rows of 50 numbers`."""
    if is_rows:
        return f"rows of {counted(image_shape[1], 'number', 'numbers')}"
    return f"images {'x'.join(map(str, image_shape))}"


def _classes(dataset: Dataset) -> str:
    """` in 3 classes (bird, cat, dog)`, as far as that is known."""
    names = dataset.class_names
    if names is not None:
        shown = ", ".join(names[:_NAMES_SHOWN])
        more = len(names) - _NAMES_SHOWN
        shown += f", and {more} more" if more > 0 else ""
        return f" in {counted(len(names), 'class', 'classes')} ({shown})"
    labels = dataset.train.labels
    if labels is None:
        return ""
    count = len(np.unique(labels[labels >= 0]))  # negative: unlabelled
    return f" in {counted(count, 'class', 'classes')}"


def _factors(dataset: Dataset) -> str:
    """` with 2 factors (row 8, column 8)`; empty where there are none."""
    sizes, names = dataset.spec.factor_sizes, dataset.factor_names
    if sizes is None:
        return ""
    values = [str(size) for size in sizes]
    if names is not None:
        values = [f"{name} {v}" for name, v in zip(names, sizes, strict=True)]
    return f" with {counted(len(sizes), 'factor', 'factors')} ({', '.join(values)})"


def counted(count: int, one: str, several: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {one if count == 1 else several}"
