"""The data of a run as its model is given them, for measures and pictures."""

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.batches import fixed_draw
from vae_jax.data.dataset import Dataset
from vae_jax.data.labels import Classes, number_labels, why_not_classes
from vae_jax.evaluation.data import MAX_TRAIN, Data, Split
from vae_jax.types import Array, stream


def run_data(
    config: ConfigDict,
    dataset: Dataset,
    heldout: str = "test",
    count: int | None = None,
) -> Data:
    """What measures are given of a run's data.

    Args:
        config: of the run; its data part is read.
        dataset: its images.
        heldout: "train", "validation" or "test": the split that is measured on.
        count: at most so many of its examples, evenly spread over it; None: all.

    Returns:
        The data, preprocessed as for training, with the same draw of binarisation or
        noise at every visit of an image.
    """
    classes = _classes(dataset) if heldout == "test" else None
    train = split_of(config, dataset, "train")
    measured = split_of(config, dataset, heldout)
    if classes is not None:
        train = Split(train.draw, train.rows, classes.train)
        measured = Split(measured.draw, measured.rows, classes.test)
    return Data(
        train=train,
        heldout=measured if count is None else measured.some(count),
        num_classes=0 if classes is None else len(classes.values),
        classifier_key=stream(build.data_key(config), "classifier"),
        dequantized=config.data.dequantize,
        measures_training=heldout == "train",
    )


def split_of(config: ConfigDict, dataset: Dataset, name: str) -> Split:
    """One split as a run's model is given it.

    Args:
        config: of the run; its data part is read.
        dataset: its images.
        name: "train", "validation" or "test".
    """
    images = getattr(dataset, name).images
    key = stream(build.data_key(config), f"evaluation {name}")
    preprocess = jax.jit(fixed_draw(build.make_preprocess(config), key))

    def draw(rows: np.ndarray) -> Array:
        return preprocess(jnp.asarray(images[rows]), jnp.asarray(rows))

    return Split(draw, np.arange(len(images)))


def _classes(dataset: Dataset) -> Classes | None:
    """The labels that a classifier can know; None where it can't, which is logged."""
    train, test = dataset.train.labels, dataset.test.labels
    if train is None or test is None:
        return None
    classes = number_labels(train, test)
    if why_not := why_not_classes(classes, MAX_TRAIN):
        logging.info("the numbers about labels are not defined: %s", why_not)
        return None
    return classes
