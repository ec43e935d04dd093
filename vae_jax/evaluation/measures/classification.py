"""How well a model names the class of an image, with the labels it was given."""

import math

import jax

from vae_jax.evaluation.chunks import map_rows
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.measures.base import Effort, Measure, Numbers
from vae_jax.quantities import SHARE, Group, Quantity, one
from vae_jax.trained import Trained
from vae_jax.types import Array, Examples, Key

ROWS_PER_CHUNK = 1000

CLASSES = Group(
    "Classes",
    "What the labels of a few training images, and the images without one, teach about"
    " the classes of held-out images.",
)

QUANTITIES = (
    Quantity(
        "Class error",
        "Share of held-out images whose most probable class under q(y | x) is not"
        " their label.",
        one("class_error"),
        CLASSES,
        SHARE,
        "near 0, and below that of the plain classifier",
        scale="share",
        error="class_error_standard_error",
        best="smallest",
        brief="fit",
    ),
    Quantity(
        "Class error, plain classifier",
        "The same of a small classifier that was trained on the labelled images alone:"
        " what the unlabelled ones have to improve on. One training, without tuning: a"
        " better one would be nearer to the model.",
        one("plain_class_error"),
        CLASSES,
        SHARE,
        scale="share",
        brief="fit",
    ),
    Quantity(
        "Class error, standard error",
        "Of the share, as of independent held-out images. Which images are labelled"
        " matters more where they are few: train with other values of data.seed.",
        one("class_error_standard_error"),
        CLASSES,
        "0 or more",
    ),
)


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """The errors on all held-out images that have a label."""
    labels, classifier = data.heldout.classes, data.plain_classifier
    assert labels is not None and classifier is not None  # see `why_not`
    guesses = map_rows(
        lambda rows: _guesses(trained, data.heldout.x(rows)),
        len(data.heldout),
        ROWS_PER_CHUNK,
    )
    known = labels >= 0
    error = float((guesses != labels)[known].mean())
    return {
        "class_error": error,
        "class_error_standard_error": math.sqrt(error * (1 - error) / known.sum()),
        "plain_class_error": 1.0 - float(classifier.accuracy),
    }


@jax.jit
def _guesses(trained: Trained, x: Examples) -> Array:
    return trained.classify(x).argmax(axis=1)


def why_not(trained: Trained, data: Data) -> str | None:
    """It needs a model that classifies, and labels of held-out images."""
    if not hasattr(trained.model, "classify"):
        return "needs a model with a classifier, such as m2"
    if data.plain_classifier is None:
        return "needs held-out images with labels"
    return None


MEASURE = Measure(run, QUANTITIES, why_not)
