"""log p(x) without a posterior: annealed importance sampling, and its sandwich.

Chains of `annealing.py` go from the prior to the posterior and have weights with
E[w] = p(x): the log of their mean is, in expectation, a lower bound of log p(x) (Neal
2001; Wu et al. 2017). Images simulated from the model come with an exact draw of the
posterior; chains that start there and go backwards give an upper bound (BDMC, Grosse et
al. 2015), so that the true value lies between two numbers.

Nothing asks for q(z | x): a plain autoencoder with a prior has this NLL, too.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data.examples import num_examples, take
from vae_jax.distributions import Distribution, Quantized
from vae_jax.errors import ConfigError
from vae_jax.evaluation.annealing import (
    NUM_PILOTS,
    Annealing,
    backward_chains,
    forward_chains,
)
from vae_jax.evaluation.chunks import Progress, map_rows
from vae_jax.evaluation.moments import standard_error
from vae_jax.keys import plain
from vae_jax.ranges import COUNT, require
from vae_jax.trained import Trained, image_likelihood
from vae_jax.types import Array, Examples, Given, Key

ROWS_PER_CHUNK = 200  # decoded at once: a CPU gains nothing from more


def annealed_likelihood(
    trained: Trained,
    x: Examples,
    key: Key,
    annealing: Annealing,
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """A stochastic lower bound of log p(x) for each image.

    Args:
        trained: a model with its parameters.
        x: examples as the model takes them, [N, ...].
        key: random key for the chains; image i gets `fold_in(key, i)`, so that its
            chains don't depend on the chunks.
        annealing: temperatures, chains, leapfrog steps.
        batch_size: images at a time; by default as many as make 200 decoded images,
            which is enough for a CPU. A GPU wants more.
        progress: called with (images done, N) after each batch.

    Returns:
        `log_px` [N], nats: log of the mean weight of an image's chains;
        `log_w` [N, C], the chains' log-weights;
        `ess` [N], effective sample size (sum w)^2 / sum w^2, between 1 and C;
        `acceptance` [N], mean over chains and transitions.

    Raises:
        ConfigError: the codes are discrete, p(x | z) is no density (`normalized =
            False`), or batch_size is no whole number above 0.
    """
    _check(trained, trained.given(x))

    def batch(rows: np.ndarray) -> dict[str, Array]:
        return _forward(trained, take(x, rows), _keys(key, rows), annealing)

    return _in_batches(batch, num_examples(x), annealing, batch_size, progress)


def bounds_on_simulated(
    trained: Trained,
    num_images: int,
    key: Key,
    annealing: Annealing,
    *,
    given: Given = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Both bounds of log p(x) for images drawn from the model (BDMC).

    z ~ p(z), x ~ p(x | z). The mean of `lower` over images is, in expectation, at most
    that of log p(x), and the mean of `upper` at least. Where the two are close,
    annealing of this length is to be trusted on this model, as far as real images are
    like simulated ones.

    Args:
        trained: a model with its parameters.
        num_images: N, how many to draw.
        key: random key for images and chains, folded with the number of the image.
        annealing: temperatures, chains, leapfrog steps.
        given: what a conditional model is given for each image, [N].
        batch_size: as in `annealed_likelihood`.
        progress: called with (images done, N) after each batch.

    Returns:
        `lower` [N] and `upper` [N], nats; `ess` and `acceptance` [N] of the lower one;
        `x` [N, ...], the images.

    Raises:
        ConfigError: the codes are discrete, p(x | z) is no density (`normalized =
            False`), or num_images or batch_size is no whole number above 0.
    """
    _check(trained, given)

    def batch(rows: np.ndarray) -> dict[str, Array]:
        return _both_ways(trained, take(given, rows), _keys(key, rows), annealing)

    return _in_batches(batch, num_images, annealing, batch_size, progress)


def summarize(
    real: Mapping[str, np.ndarray], simulated: Mapping[str, np.ndarray]
) -> dict[str, float | None]:
    """Averages over images.

    Args:
        real: what `annealed_likelihood` returned.
        simulated: what `bounds_on_simulated` returned.

    Returns:
        `nll`, minus the mean lower bound, and its `nll_standard_error` over images
        (None for one image); `effective_sample_size` and `acceptance` of those chains;
        `simulated_lower_bound` and `simulated_upper_bound` of log p(x), their
        difference `simulated_gap` and its `simulated_gap_standard_error`. Nats, but for
        the sample size and the share of accepted moves.
    """

    def mean(values: np.ndarray) -> float:
        return float(np.mean(values, dtype=np.float64))

    gap = simulated["upper"] - simulated["lower"]
    return {
        "nll": -mean(real["log_px"]),
        "nll_standard_error": standard_error(real["log_px"]),
        "effective_sample_size": mean(real["ess"]),
        "acceptance": mean(real["acceptance"]),
        "simulated_lower_bound": mean(simulated["lower"]),
        "simulated_upper_bound": mean(simulated["upper"]),
        "simulated_gap": mean(gap),
        "simulated_gap_standard_error": standard_error(gap),
    }


def log_mean_exp(values: Array) -> Array:
    """log of the mean of exp over the last axis."""
    return jax.nn.logsumexp(values, axis=-1) - jnp.log(values.shape[-1])


@partial(jax.jit, static_argnames="annealing")
def _forward(
    trained: Trained, x: Examples, keys: Key, annealing: Annealing
) -> dict[str, Array]:
    chains = jax.vmap(lambda x, key: forward_chains(trained, x, key, annealing))
    return _summary(chains(x, keys))


@partial(jax.jit, static_argnames="annealing")
def _both_ways(
    trained: Trained, given: Given, keys: Key, annealing: Annealing
) -> dict[str, Array]:
    def one_image(key: Key, given: Given) -> dict[str, Array]:
        z_key, x_key, forward_key, backward_key = jax.random.split(key, 4)
        one_given = None if given is None else given[None]
        codes = trained.prior(1, one_given).sample(z_key)
        x = take(trained.decode(codes, one_given).sample(plain(x_key)), 0)
        if given is not None:
            x = {**x, trained.conditions_on: given}
        forward = forward_chains(trained, x, forward_key, annealing)
        log_w = backward_chains(
            trained, x, codes, forward["step_sizes"], backward_key, annealing
        )
        summary = _summary(forward)
        return {
            "lower": summary["log_px"],
            "upper": -log_mean_exp(-log_w),
            "ess": summary["ess"],
            "acceptance": summary["acceptance"],
            "x": x,
        }

    return jax.vmap(one_image)(keys, given)


def _summary(forward: dict[str, Array]) -> dict[str, Array]:
    log_w = forward["log_w"]
    log_sum = jax.nn.logsumexp(log_w, axis=-1)
    return {
        "log_px": log_mean_exp(log_w),
        "log_w": log_w,
        "ess": jnp.exp(2 * log_sum - jax.nn.logsumexp(2 * log_w, axis=-1)),
        "acceptance": forward["acceptance"],
    }


def _keys(key: Key, rows: np.ndarray) -> Key:
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(rows))


def why_not(trained: Trained, given: Given = None) -> str | None:
    """Why there is no annealing: discrete codes, or a likelihood that changes with x.

    Args:
        trained: a model with its parameters.
        given: what a conditional model is given, [N].

    Returns:
        A phrase; None if nothing stands against it.
    """
    num = 1 if given is None else len(given)

    def top(trained: Trained, given: Given) -> Distribution | None:
        return getattr(trained._call("joint_prior", num, given), "top", None)

    codes = jax.eval_shape(top, trained, given)
    if getattr(codes, "support", None) == Quantized.support:
        return "needs codes that a chain can move little by little, not discrete ones"

    def sample(trained: Trained, given: Given) -> Distribution:
        return trained.sample(jax.random.key(0), num, given)

    likelihood = jax.eval_shape(sample, trained, given)
    if likelihood.normalized:
        return None
    name = type(image_likelihood(likelihood)).__name__
    return (
        f"p(x | z) is a {name}, which is not normalised, so"
        " log p(x) is not defined: train with another scale than 'optimal'"
    )


def _check(trained: Trained, given: Given) -> None:
    if reason := why_not(trained, given):
        raise ConfigError(reason)


def _in_batches(
    batch: Callable[[np.ndarray], dict[str, Array]],
    total: int,
    annealing: Annealing,
    batch_size: int | None,
    progress: Progress | None,
) -> dict[str, np.ndarray]:
    if batch_size is None:
        batch_size = max(1, ROWS_PER_CHUNK // (annealing.num_chains + NUM_PILOTS))
    require(COUNT, num_images=total, batch_size=batch_size)
    return map_rows(batch, total, batch_size, progress)
