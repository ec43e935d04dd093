"""Few labels: which training images of a data set keep theirs."""

import dataclasses
import zlib

import numpy as np

from vae_jax.data.dataset import Dataset
from vae_jax.errors import ConfigError, DataError

# Keeps the draw of the labelled images apart from every other use of the same seed.
_STREAM = zlib.crc32(b"vae_jax.data.labelled")


def with_few_labels(dataset: Dataset, num_labelled: int, seed: int) -> Dataset:
    """The data set with a label for some training images, as many of each class.

    Args:
        dataset: a data set whose labels are classes.
        num_labelled: how many training images keep their label.
        seed: seed of the draw, without replacement.

    Returns:
        The same images, with `labelled` set.

    Raises:
        DataError: the labels are no classes.
        ConfigError: the number is no multiple of the number of classes, or larger than
            the smallest class allows.
    """
    if dataset.classes is None or dataset.why_no_classes:
        raise DataError(
            f"data.num_labelled={num_labelled} needs images with labels, but of"
            f" {dataset.name} {dataset.why_no_classes}"
        )
    values, numbers = dataset.classes.values, dataset.classes.numbers["train"]
    each, rest = divmod(num_labelled, len(values))
    if rest:
        raise ConfigError(
            f"data.num_labelled={num_labelled}: must be a multiple of {len(values)},"
            f" the number of classes of {dataset.name}, so that each has as many labels"
        )
    rows = [np.flatnonzero(numbers == number) for number in range(len(values))]
    smallest = int(np.argmin([len(own) for own in rows]))
    if len(rows[smallest]) < each:
        raise ConfigError(
            f"data.num_labelled={num_labelled}: takes {each} training images of each"
            f" class, and {dataset.name} has {len(rows[smallest])} with the label"
            f" {values[smallest]}"
        )
    random = np.random.default_rng((seed, _STREAM))
    chosen = [random.choice(own, each, replace=False) for own in rows]
    note = f"{num_labelled:,} training images keep their label"
    return dataclasses.replace(
        dataset,
        labelled=np.sort(np.concatenate(chosen)),
        notes=(*dataset.notes, note),
    )
