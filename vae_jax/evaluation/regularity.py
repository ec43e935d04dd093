"""Continuity and completeness of a latent space, as numbers.

`regularity` gives all of them; the parts are in aggregate.py, holes.py, continuity.py,
completeness.py and classifier.py. docs/regularity.md has for each number its
definition, its range, what a good value is and where it misleads.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from vae_jax.distributions import Distribution
from vae_jax.errors import DataError
from vae_jax.evaluation import aggregate, completeness, continuity
from vae_jax.evaluation.aggregate import Codes, Prior
from vae_jax.evaluation.chunks import even_rows
from vae_jax.evaluation.classifier import Classifier, label_numbers
from vae_jax.evaluation.holes import hole_mass
from vae_jax.types import Array, Key, stream

NUM_CODES = 1000  # where continuity is measured; half of them start a line
MAX_HELDOUT = 10_000

# What `draws` below gives for each source of images, and for draws from the prior only.
OF_IMAGES = ("coverage", "frechet_pca", "sure", "label_entropy")
OF_ROUND_TRIP = ("round_trip", "round_trip_inside")
EXTRAS = ("density", "precision", "recall")
# Draws from the prior, from the codes, from a normal fitted to the codes; real images.
SOURCES = ("", "codes_", "fitted_", "real_")


def regularity(
    decode: Callable[[Array], Distribution],
    encode: Callable[[Array], Distribution],
    codes: Codes,
    train: Array,
    heldout: Array,
    key: Key,
    *,
    prior: Prior | None = None,
    classifier: Classifier | None = None,
    num_draws: int = 2000,
    extras: bool = False,
) -> dict[str, float | None]:
    """All numbers about one trained model with one latent layer.

    Compiled once for each shape and each `decode` and `encode`: give
    `jax.tree_util.Partial(function, params)` with the same function every time, and one
    compilation serves any number of models.

    Args:
        decode: z [B, D] -> p(x | z).
        encode: x [B, ...] -> q(z | x), with `mean`, `std` and `sample(key)`.
        codes: posterior means and standard deviations of the training split.
        train: training images as the model sees them, [n, ...]; some thousands do.
        heldout: held-out images as the model sees them, [m, ...]; up to 10,000 are
            used.
        key: of all draws.
        prior: number of codes -> p(z); N(0, I) if None.
        classifier: of the labels (see `fit_classifier`), for the numbers about labels.
        num_draws: how many draws are compared with as many real images; fewer if
            `train` or `heldout` has fewer.
        extras: whether to add `density`, `precision` and `recall`, which mislead.

    Returns:
        Floats by name, the same names for every model. None stands for what is not
        defined: what needs a density of codes that are points (a plain autoencoder),
        what needs draws from a likelihood without any (`normalized = False`), what
        needs labels without a classifier, and whatever is not finite.

    Raises:
        DataError: the images are too few, or grey where draws are binary.
    """
    decode, encode = _as_pytree(decode), _as_pytree(encode)
    likelihood = jax.eval_shape(decode, codes.mean[:1])
    drawable = likelihood.normalized
    num_draws = min(num_draws, len(train), len(heldout))
    few_heldout = jnp.asarray(heldout[even_rows(len(heldout), num_draws)])
    _check(likelihood, few_heldout, num_draws)
    if prior is None:
        prior = aggregate.standard_normal(codes.mean.shape[1])

    numbers: dict[str, Any] = aggregate.collapse(codes)
    numbers |= aggregate.marginal_kl(codes, prior, stream(key, "marginal_kl"))
    outside_key, holes_key = stream(key, "outside"), stream(key, "holes")
    numbers["outside_prior"] = aggregate.outside_prior(codes, prior, outside_key)
    many_heldout = jnp.asarray(heldout[even_rows(len(heldout), MAX_HELDOUT)])
    posterior = completeness.encode_all(encode, many_heldout)
    heldout_z = posterior.sample(stream(key, "heldout"))
    numbers["hole_mass"] = hole_mass(codes, heldout_z, prior, holes_key)
    numbers |= _continuity(decode, drawable, codes, prior, stream(key, "continuity"))

    names = [prefix + name for prefix in SOURCES for name in OF_IMAGES]
    names += [*OF_ROUND_TRIP, *(EXTRAS if extras else ()), "classifier_accuracy"]
    numbers |= dict.fromkeys(names)
    if drawable:
        few_train = jnp.asarray(train[even_rows(len(train), num_draws)])
        real = completeness.real_images(few_heldout, few_train)
        z_key, x_key = stream(key, "z"), stream(key, "x")
        z = prior(num_draws).sample(z_key)
        images = {
            "": completeness.draw(decode, z, x_key),
            "codes_": completeness.draw(decode, codes.sample(z_key, num_draws), x_key),
            "fitted_": completeness.draw(
                decode, codes.sample_fitted(z_key, num_draws), x_key
            ),
            "real_": few_train,
        }
        for prefix, x in images.items():
            compared = completeness.compare(real, x, extras=extras and prefix == "")
            numbers |= _prefixed(prefix, compared)
        numbers |= completeness.round_trip(encode, z, images[""])
        if classifier is not None:
            numbers["classifier_accuracy"] = classifier.accuracy
            for prefix, x in {**images, "real_": few_heldout}.items():
                numbers |= _prefixed(prefix, label_numbers(classifier, x))
    return {name: _finite(value) for name, value in numbers.items()}


def _continuity(
    decode: Partial, drawable: bool, codes: Codes, prior: Prior, key: Key
) -> dict[str, Array | None]:
    """At codes from the prior in latent units, at q(z) in units of its own spread."""
    z_key, x_key = stream(key, "z"), stream(key, "x")
    from_prior = prior(NUM_CODES).sample(z_key)
    places = {
        "": (from_prior, jnp.eye(from_prior.shape[1])),
        "codes_": (codes.sample(z_key, NUM_CODES), codes.square_root()),
    }
    numbers: dict[str, Array | None] = {}
    for prefix, (z, units) in places.items():
        start, end = jnp.split(z, 2)
        numbers |= _prefixed(prefix, continuity.line_numbers(decode, start, end))
        numbers[prefix + "sensitivity"] = (
            continuity.sensitivity(decode, z, units, x_key) if drawable else None
        )
    return numbers


def _as_pytree(function: Callable) -> Partial:
    return function if isinstance(function, Partial) else Partial(function)


def _check(likelihood: Distribution, heldout: Array, num_draws: int) -> None:
    needed = completeness.NEIGHBOURS + 1
    if num_draws < needed:
        raise DataError(
            f"{num_draws} images to compare: train, heldout and num_draws must be at"
            f" least {needed}"
        )
    if likelihood.support == "binary" and not np.isin(heldout, (0, 1)).all():
        raise DataError("heldout has grey values, but draws are binary: binarise it")


def _prefixed(prefix: str, numbers: Mapping[str, Array]) -> dict[str, Array]:
    return {prefix + name: value for name, value in numbers.items()}


def _finite(value: Any) -> float | None:
    """JSON has no nan, and a number that is none says nothing."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)
