"""The error of a classifier, and of a plain one with the same labels."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.evaluation import measures
from vae_jax.evaluation.data import Data, Split
from vae_jax.trained import Trained

KEY = jax.random.key(0)
NUM = 1_234  # no multiple of a chunk
CLASSES = np.random.default_rng(0).integers(0, 3, NUM)


class Rounding(nn.Module):
    """The class is written in the first pixel."""

    def classify(self, x):
        return jax.nn.log_softmax(
            -((x["image"][:, :1] - jnp.arange(3.0)[None, :]) ** 2)
        )


def split_of(classes, wrong=0):
    """Images of these classes, the first few with the pixel of another class."""
    pixel = np.where(np.arange(NUM) < wrong, (CLASSES + 1) % 3, CLASSES)
    x = {"image": np.stack([pixel, CLASSES], axis=1).astype(np.float32)}
    return Split(
        lambda rows: jax.tree.map(lambda leaf: leaf[rows], x), np.arange(NUM), classes
    )


def data(wrong=0, classes=CLASSES, labelled=None):
    return Data(split_of(classes), split_of(classes, wrong), 3, KEY, labelled=labelled)


def numbers_of(own):
    return measures.measure(["classification"], Trained(Rounding(), {}), own, KEY)


def test_errors_are_counted_on_held_out_images_with_a_label():
    some = np.where(np.arange(NUM) < 200, -1, CLASSES)
    numbers = numbers_of(data(300, some, labelled=np.arange(200, NUM)))
    error = 100 / (NUM - 200)
    assert numbers["class_error"] == pytest.approx(error)
    spread = np.sqrt(error * (1 - error) / (NUM - 200))
    assert numbers["class_error_standard_error"] == pytest.approx(spread)


def test_the_plain_classifier_sees_the_labelled_images_only():
    """Of two classes only: it never names the third one, which a third are of."""
    both = np.flatnonzero(CLASSES != 2)
    whole, few = numbers_of(data()), numbers_of(data(labelled=both))
    assert whole["plain_class_error"] == 0.0
    assert few["plain_class_error"] == pytest.approx((CLASSES == 2).mean(), abs=1e-6)


def test_it_says_why_it_is_not_defined():
    why_not = measures.BY_NAME["classification"].why_not
    assert "classifier, such as m2" in why_not(Trained(nn.Dense(2), {}), data())
    unlabelled = Data(split_of(None), split_of(None))
    assert "with labels" in why_not(Trained(Rounding(), {}), unlabelled)
