"""Whether a model draws images of the label that it is asked for."""

import math

import jax
import jax.numpy as jnp

from vae_jax.evaluation import completeness
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.evaluation.measures.base import Effort, Measure, Numbers
from vae_jax.quantities import SHARE, Group, Quantity, at, one
from vae_jax.trained import Trained
from vae_jax.types import Key, stream

NUM_DRAWS = 2000  # or one for each label, where there are more of them

CONDITION = Group(
    "The label",
    "Whether a model draws images of the label that it is asked for: a conditional one,"
    " or one in which the class is a latent variable.",
)

QUANTITIES = (
    Quantity(
        "Label agreement",
        "Share of draws of p(x | z), all labels in turn, to which a classifier gives"
        " the label that was asked for; of real images, its accuracy on held-out ones."
        " It is a larger one than that behind the confident labels. Misleads: it says"
        " nothing about diversity, so that one good image for each label is enough.",
        at("label_agreement", "", "real_"),
        CONDITION,
        SHARE,
        "as of real images",
        scale="share",
        error="label_agreement_standard_error",
        best="largest",
        brief="draws",
    ),
    Quantity(
        "Label agreement, standard error",
        "Over the draws.",
        one("label_agreement_standard_error"),
        CONDITION,
        "0 or more",
    ),
)


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """The agreement of `Data.better_classifier` with the labels that were asked for.

    Its standard error is the binomial one, sqrt(p (1 - p) / n).
    """
    key, classifier = stream(key, "conditional"), data.better_classifier
    assert classifier is not None
    num = max(NUM_DRAWS, classifier.num_classes)
    given = jnp.arange(num) % classifier.num_classes
    layer = FirstLayer.of_split(trained, data.heldout)
    z = layer.prior(num, given).sample(stream(key, "z"))
    x = completeness.draw(layer.decode, z, stream(key, "x"))
    guesses = classifier.probabilities(x).argmax(axis=1)
    agreement = float((guesses == given).mean())
    return {
        "label_agreement": agreement,
        "real_label_agreement": float(classifier.accuracy),
        "label_agreement_standard_error": math.sqrt(agreement * (1 - agreement) / num),
    }


def why_not(trained: Trained, data: Data) -> str | None:
    """It needs a model that can be given a label, draws of it, and a classifier."""
    if trained.can_be_given is None:
        return (
            "needs a model that is given a label (model.condition=label), or has a"
            " class among its latent variables (model.name=m2)"
        )
    layer = FirstLayer.of_split(trained, data.heldout)
    points = layer.points(data.heldout.some(1).x())
    if not jax.eval_shape(layer.decode, points).normalized:
        return "needs a likelihood that can be drawn from"
    if data.better_classifier is None:  # last, as it is trained here
        return "needs labels of training and test images that a classifier can know"
    return None


MEASURE = Measure(run, QUANTITIES, why_not)
