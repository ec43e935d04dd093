"""Continuity and completeness of the latent space next to the data.

docs/regularity.md has for each number its definition, its range, what a good value is
and where it misleads.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Distribution
from vae_jax.errors import DataError
from vae_jax.evaluation import completeness, continuity
from vae_jax.evaluation.aggregate import Codes
from vae_jax.evaluation.chunks import even_rows
from vae_jax.evaluation.classifier import label_numbers
from vae_jax.evaluation.completeness import NEIGHBOURS
from vae_jax.evaluation.data import MAX_TRAIN, Data, Split
from vae_jax.evaluation.first_layer import FirstLayer, FirstPrior, train_codes
from vae_jax.evaluation.measures.base import (
    Effort,
    Measure,
    Numbers,
    finite,
    needs_heldout,
    prefixed,
)
from vae_jax.quantities import SHARE, SOURCES, Group, Quantity, at, one
from vae_jax.trained import Trained
from vae_jax.types import Array, Key, stream

NUM_CODES = 1000  # where continuity is measured; half of them start a line
NUM_DRAWS = 2000  # compared with as many real images

CONTINUITY = Group(
    "Continuity",
    "Whether codes that are near each other decode to similar images.",
)
COMPLETENESS = Group(
    "Completeness",
    "Whether a code drawn from the prior decodes to something meaningful. Draws of"
    " p(x | z) are compared with held-out images. Real images against real ones, the"
    " dashed line, are the best that can be had; a Gaussian fitted to the codes shows"
    " how much of the trouble is the prior's.",
)
LABELS = Group("The classifier", drawn=False)

QUANTITIES = (
    Quantity(
        "Length ratio",
        "Length of the decoded straight line between two codes over the distance of its"
        " ends. Does not depend on the scale of the code.",
        at("length_ratio", "", "codes_"),
        CONTINUITY,
        "1 or more; 1 is a straight line of images",
        "near 1",
        best="smallest",
    ),
    Quantity(
        "Path energy",
        "Mean squared speed of the image along that line.",
        at("path_energy", "", "codes_"),
        CONTINUITY,
        "0 or more; 0 for a decoder that ignores the code",
        "smaller, as long as the images differ",
        "squared pixels",
        "log",
        best="smallest",
    ),
    Quantity(
        "Sensitivity",
        "How far p(x | z) moves when z moves by one unit; at the codes of the data the"
        " unit is their own standard deviation.",
        at("sensitivity", "", "codes_"),
        CONTINUITY,
        "0 or more; 0 for a decoder that ignores the code",
        "smaller, as long as the images differ",
        "nats",
        "log",
        best="smallest",
    ),
    Quantity(
        "Coverage",
        "Share of held-out images that have a draw among their nearest neighbours.",
        at("coverage", *SOURCES),
        COMPLETENESS,
        SHARE,
        "as of real images",
        scale="share",
        best="largest",
        brief="draws",
    ),
    Quantity(
        "Fréchet distance",
        "Between Gaussians fitted to draws and to held-out images in principal"
        " components, over the variance of the images.",
        at("frechet_pca", *SOURCES),
        COMPLETENESS,
        "0 or more; 1 for draws that all equal the mean image",
        "as of real images",
        best="smallest",
        brief="draws",
    ),
    Quantity(
        "Confident labels",
        "Share of draws to which a small classifier gives a label with a probability of"
        " 0.95 or more. Not defined for a set with too many labels for its images:"
        " fewer than ten training images each.",
        at("confident", *SOURCES),
        COMPLETENESS,
        SHARE,
        "as of real images",
        scale="share",
        best="largest",
        brief="draws",
    ),
    Quantity(
        "Entropy of the labels",
        "How varied the labels are that it is confident about.",
        at("label_entropy", *SOURCES),
        COMPLETENESS,
        "0 for one label, log of the number of classes for all alike",
        "as of real images",
        "nats",
        best="largest",
        brief="draws",
    ),
    Quantity(
        "Round trip",
        "Squared distance between a code of the prior and the code of its draw, over"
        " the square of the first.",
        one("round_trip"),
        COMPLETENESS,
        "0 or more; 1 for an encoder that always answers 0",
        "small; for an exact posterior it is the posterior variance",
        best="smallest",
    ),
    Quantity(
        "Round trip inside",
        "Share of those codes inside the 99% region of q(z | x).",
        one("round_trip_inside"),
        COMPLETENESS,
        SHARE,
        "0.99, as with the exact posterior",
        scale="share",
        best="largest",
    ),
    Quantity(
        "Classifier's accuracy",
        "On real test images, of the classifier behind the labels.",
        one("classifier_accuracy"),
        LABELS,
        SHARE,
        "near 1; else its labels mean little",
        best="largest",
    ),
)


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """All numbers of one trained model, at the layer next to the data.

    None stands for what needs draws from a likelihood without any (`normalized =
    False`), codes between two others where codes are discrete or a label goes with
    them, a region of a posterior that is no normal, or labels without a classifier;
    where a decoder needs the codes of all layers, or a label, for what needs the
    covariance of such rows, or codes that do not depend on other draws (the round
    trip); and for the round trip of a model that encodes more than an image. Draws of
    a conditional model have labels as often as the training images do.
    """
    key = stream(key, "regularity")
    layer = FirstLayer.of_split(trained, data.heldout)
    codes = train_codes(layer, data.train, key)
    numbers: dict[str, Array | float | None] = {}
    likelihood = jax.eval_shape(layer.decode, codes.mean[:1])
    if layer.is_continuous and not layer.is_conditional:
        drawable, continuity_key = likelihood.normalized, stream(key, "continuity")
        numbers |= measure_continuity(layer, drawable, codes, continuity_key)
    if likelihood.normalized:
        train, heldout = images_to_compare(data)
        refuse_grey(likelihood, heldout)
        real = completeness.real_images(heldout, train)
        given = layer.given_as_in(data.train, len(heldout))
        z, fake = draws_from(layer, codes, layer.prior(len(heldout), given), key)
        for prefix, x in {**fake, "real_": train}.items():
            numbers |= prefixed(prefix, completeness.compare(real, x))
        if layer.takes_images and not layer.is_joined:
            trip = completeness.round_trip(layer.moments, z, fake[""])
            if not layer.is_normal:
                del trip["round_trip_inside"]
            numbers |= trip
        if (classifier := data.classifier) is not None:
            numbers["classifier_accuracy"] = classifier.accuracy
            for prefix, x in {**fake, "real_": heldout}.items():
                numbers |= prefixed(prefix, label_numbers(classifier, x))
    return {name: finite(value) for name, value in numbers.items()}


def images_to_compare(data: Data) -> tuple[Array, Array]:
    """As many training images as held-out ones, evenly spread over their splits."""
    train, heldout = data.train.some(MAX_TRAIN), data.heldout
    count = min(NUM_DRAWS, len(train), len(heldout))

    def some(split: Split) -> Array:
        return jnp.asarray(split.images(even_rows(len(split), count)))

    return some(train), some(heldout)


def draws_from(
    layer: FirstLayer, codes: Codes, prior: FirstPrior, key: Key
) -> tuple[Array, Mapping[str, Array]]:
    """Draws x ~ p(x | z) of codes from the prior, from q(z) and from a fitted normal.

    No normal is fitted to discrete codes, nor to those of several layers together.

    Args:
        layer: the first latent layer of a trained model.
        codes: means and standard deviations of q(z | x) on its training split.
        prior: p(z1) of as many rows as there are to be draws of each kind.
        key: random key for codes and draws.

    Returns:
        The codes from the prior, [num, D], and the draws by prefix, [num, ...].
    """
    z_key, x_key = stream(key, "z"), stream(key, "x")
    num, z = prior.num, prior.sample(z_key)
    places = {"": z, "codes_": codes.sample(z_key, num)}
    if layer.is_continuous and not layer.is_joined:
        places["fitted_"] = codes.sample_fitted(z_key, num)
    draws = {
        prefix: completeness.draw(layer.decode, place, x_key)
        for prefix, place in places.items()
    }
    return z, draws


def measure_continuity(
    layer: FirstLayer, drawable: bool, codes: Codes, key: Key
) -> dict[str, Array | None]:
    """At codes from the prior in latent units, at q(z) in units of its own spread.

    Args:
        layer: the first latent layer of a trained model.
        drawable: whether something can be drawn from p(x | z).
        codes: means and standard deviations of q(z | x) on the training split.
        key: random key for codes and draws.
    """
    z_key, x_key = stream(key, "z"), stream(key, "x")
    places = {
        "": layer.prior(NUM_CODES).sample(z_key),
        "codes_": codes.sample(z_key, NUM_CODES),
    }
    # Latent units, as a matrix too: one program for both.
    units = {"": jnp.eye(codes.mean.shape[1])}
    if not layer.is_joined:
        units["codes_"] = codes.square_root()
    numbers: dict[str, Array | None] = {}
    for prefix, z in places.items():
        start, end = jnp.split(z, 2)
        lines = continuity.line_numbers(layer.decode, start, end)
        numbers |= prefixed(prefix, lines)
        numbers[prefix + "sensitivity"] = (
            continuity.sensitivity(layer.decode, z, units[prefix], x_key)
            if drawable and prefix in units
            else None
        )
    return numbers


def refuse_grey(likelihood: Distribution, images: Array) -> None:
    """Raises if draws are binary and the images that they are compared with are not.

    Raises:
        DataError: says what to do.
    """
    if likelihood.support == "binary" and not np.isin(images, (0, 1)).all():
        raise DataError("held-out images are grey, but draws are binary: binarise them")


def why_not(trained: Trained, data: Data) -> str | None:
    """It needs more examples than a ball around one of them holds."""
    return needs_heldout(NEIGHBOURS + 1, data)


MEASURE = Measure(run, QUANTITIES, why_not)
