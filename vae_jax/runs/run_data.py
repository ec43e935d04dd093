"""The data of a run as its model is given them, for measures and pictures."""

import dataclasses

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset
from vae_jax.data.examples import Inputs, num_examples, take
from vae_jax.data.fixed_draw import fixed_draw
from vae_jax.data.labels import Classes, why_not_classes
from vae_jax.evaluation.data import MAX_TRAIN, Data, Split
from vae_jax.types import Examples, stream


def run_data(
    config: ConfigDict,
    dataset: Dataset,
    inputs: Inputs,
    heldout: str = "test",
    count: int | None = None,
) -> Data:
    """The data of a run, in the form that measures take.

    Args:
        config: config of the run; only its data part is read.
        dataset: its images.
        inputs: names of the parts of the data that the run's model is given.
        heldout: "train", "validation" or "test": the split that is measured on.
        count: at most so many of its examples, evenly spread over it; None: all.

    Returns:
        The data, preprocessed as for training, with the same draw of binarisation or
        noise at every visit of an image.
    """
    classes = _classes(dataset) if heldout == "test" else None
    train = split_of(config, dataset, inputs, "train")
    measured = split_of(config, dataset, inputs, heldout)
    if classes is not None:
        train = dataclasses.replace(train, classes=classes.numbers["train"])
        measured = dataclasses.replace(measured, classes=classes.numbers["test"])
    return Data(
        train=train,
        heldout=measured if count is None else measured.some(count),
        num_classes=0 if classes is None else len(classes.values),
        classifier_key=stream(build.data_key(config), "classifier"),
        labels=dataset.labels,
        dequantized=config.data.dequantize,
        labelled=dataset.labelled,
        measures_training=heldout == "train",
    )


def split_of(config: ConfigDict, dataset: Dataset, inputs: Inputs, name: str) -> Split:
    """One split in the form that a run's model takes.

    Args:
        config: config of the run; only its data part is read.
        dataset: its images.
        inputs: names of the parts of the data that the run's model is given.
        name: "train", "validation" or "test".
    """
    examples = dataset.examples(name, inputs)
    key = stream(build.data_key(config), f"evaluation {name}")
    preprocess = fixed_draw(build.make_preprocess(config), key)

    def draw(rows: np.ndarray) -> Examples:
        return preprocess(take(examples, rows), rows)

    factors = dataset.splits[name].factors
    if factors is not None:
        factors = factors.astype(np.int32)  # small numbers would overflow in sums
    return Split(draw, np.arange(num_examples(examples)), factors=factors)


def _classes(dataset: Dataset) -> Classes | None:
    """The labels that a classifier can know; None where it can't, which is logged."""
    classes = dataset.classes
    if classes is None:
        return None
    if why_not := why_not_classes(classes, MAX_TRAIN):
        logging.info("the numbers about labels are not defined: %s", why_not)
        return None
    return classes
