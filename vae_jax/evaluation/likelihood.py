"""log p(x) by importance sampling from the posterior, and what else the samples tell.

With z_k ~ q(z | x) and log-weights log w_k = log p(x, z_k) - log q(z_k | x),

    log p(x) >= E[log 1/K sum_k w_k],

the IWAE bound (Burda et al. 2016, equation 8). It rises with K and is the "NLL" that
papers report at K = 5,000. Samples are taken in chunks with a running log-sum-exp, so
memory depends on the size of a chunk and not on K.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.errors import ConfigError
from vae_jax.outputs import VAEOutput
from vae_jax.training.checks import check_output
from vae_jax.types import Array, Key, Params

Apply = Callable[[Params, Any, Key], VAEOutput]
Statistics = dict[str, Any]  # arrays [B], and per layer tuples of arrays [B, D_l]

# 1,000 decoded rows at a time keep a small network's activations in the CPU's cache.
ROWS_PER_CHUNK = 1000


def importance_statistics(
    apply: Apply,
    params: Params,
    x: Any,
    key: Key,
    num_samples: int,
    sample_chunk: int = 50,
) -> Statistics:
    """Draws K codes per example and averages what the model says about them.

    Args:
        apply: (params, x, key) -> VAEOutput with fields [B, ...].
        params: of the model.
        x: a batch, [B, ...], or a pytree of such arrays.
        key: of the draws.
        num_samples: K, at least 1; any number, also one that the chunk doesn't divide.
        sample_chunk: how many of the K samples are decoded at once. Memory is that of
            B * sample_chunk decoded images.

    Returns:
        Per example, in nats where it has a unit:
        `log_px` [B], log of the mean weight: the IWAE bound with K samples;
        `elbo_mc` [B], mean log-weight;
        `ess` [B], effective sample size (sum w)^2 / sum w^2, between 1 and K;
        `distortion` [B], minus the mean of log p(x | z);
        `rate` [B], KL(q || p) summed over layers, in closed form where there is one;
        `kl`, its parts: a tuple over layers of [B, D_l] ([B, 1] if only estimated);
        `mean` and `variance` of the posterior: tuples over layers of [B, D_l].
        A posterior that is a point mass (a plain autoencoder) leaves out `log_px`,
        `elbo_mc`, `ess`, `rate` and `kl`; a likelihood that is no density
        (`normalized = False`) leaves out the first three.

    Raises:
        ConfigError: num_samples or sample_chunk is below 1.
        ContractError: the output does not fit x, see `training.checks.check_output`.
    """
    for name, value in (("num_samples", num_samples), ("sample_chunk", sample_chunk)):
        if value < 1:
            raise ConfigError(f"{name}={value}: must be at least 1")
    chunk = min(sample_chunk, num_samples)

    def one_sample(z_key: Key) -> tuple[Statistics, Array | None]:
        output = apply(params, x, z_key)
        check_output(output, x)
        return _one_sample(output, x)

    def add_chunk(carry: Any, index: Array) -> tuple[Any, None]:
        sums, log_sum, log_sum_squares = carry
        keys = jax.random.split(jax.random.fold_in(key, index), chunk)
        values, log_w = jax.vmap(one_sample)(keys)
        used = index * chunk + jnp.arange(chunk) < num_samples
        sums = jax.tree.map(lambda s, v: s + _masked(v, used, 0).sum(0), sums, values)
        if log_w is not None:
            log_w = _masked(log_w, used, -jnp.inf)
            log_sum = jnp.logaddexp(log_sum, jax.nn.logsumexp(log_w, axis=0))
            log_sum_squares = jnp.logaddexp(
                log_sum_squares, jax.nn.logsumexp(2 * log_w, axis=0)
            )
        return (sums, log_sum, log_sum_squares), None

    shapes, log_w_shape = jax.eval_shape(one_sample, key)
    nothing = jnp.full(shapes["distortion"].shape, -jnp.inf)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    (sums, log_sum, log_sum_squares), _ = jax.lax.scan(
        add_chunk,
        (zeros, nothing, nothing),
        jnp.arange(math.ceil(num_samples / chunk)),
    )
    statistics = jax.tree.map(lambda total: total / num_samples, sums)
    if log_w_shape is not None:
        statistics["log_px"] = log_sum - math.log(num_samples)
        statistics["ess"] = jnp.exp(2 * log_sum - log_sum_squares)
    return statistics


def evaluate_images(
    apply: Apply,
    params: Params,
    images: Any,
    rows_to_x: Callable[[Any, Array], Any],
    key: Key,
    *,
    num_samples: int,
    batch_size: int | None = None,
    sample_chunk: int = 50,
    progress: Callable[[int, int], None] | None = None,
) -> Statistics:
    """`importance_statistics` of a whole split, in one compiled program.

    The program is compiled again only for another `apply` or `rows_to_x` object,
    another K or another size of chunks. The draws depend on the key and on the sizes
    of the chunks.

    Args:
        apply: (params, x, key) -> VAEOutput.
        params: of the model.
        images: [N, H, W, C], uint8 or float, numpy or jax; or any other examples, as a
            pytree of arrays [N, ...].
        rows_to_x: (images [B, ...], rows [B]) -> x, from `data.batches.fixed_draw`.
        key: of the draws; batch i gets `fold_in(key, i)`.
        num_samples: K.
        batch_size: images at a time; by default as many as make 1,000 decoded images
            with the samples of a chunk, which is fast on a CPU. A GPU wants more.
        sample_chunk: samples at a time.
        progress: called with (images done, N) after each batch.

    Returns:
        The dict of `importance_statistics` as numpy arrays [N] and [N, D_l].

    Raises:
        ConfigError: num_samples, batch_size or sample_chunk is below 1.
    """
    if batch_size is None:
        batch_size = ROWS_PER_CHUNK // max(1, min(sample_chunk, num_samples))
        batch_size = max(1, batch_size)
    if batch_size < 1:
        raise ConfigError(f"batch_size={batch_size}: must be at least 1")
    total = len(jax.tree.leaves(images)[0])
    batch_size = min(batch_size, total)
    parts = []
    for i, start in enumerate(range(0, total, batch_size)):
        # The last batch repeats the last image: one shape, one compilation.
        rows = np.minimum(np.arange(start, start + batch_size), total - 1)
        statistics = _batch_statistics(
            apply,
            rows_to_x,
            num_samples,
            sample_chunk,
            params,
            jax.tree.map(lambda leaf, rows=rows: leaf[rows], images),
            rows,
            jax.random.fold_in(key, i),
        )
        parts.append(jax.device_get(statistics))
        if progress is not None:
            progress(min(start + batch_size, total), total)
    return jax.tree.map(lambda *values: np.concatenate(values)[:total], *parts)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _batch_statistics(
    apply: Apply,
    rows_to_x: Callable[[Any, Array], Any],
    num_samples: int,
    sample_chunk: int,
    params: Params,
    images: Any,
    rows: Array,
    key: Key,
) -> Statistics:
    x = rows_to_x(images, rows)
    return importance_statistics(apply, params, x, key, num_samples, sample_chunk)


def _one_sample(output: VAEOutput, x: Any) -> tuple[Statistics, Array | None]:
    """What is averaged over samples, and the log-weights [B] where they exist."""
    latents = output.latents
    values: Statistics = {
        "distortion": -output.log_lik(x),
        "mean": tuple(latent.posterior.mean for latent in latents),
        "variance": tuple(latent.posterior.variance for latent in latents),
    }
    if not output.has_density:
        return values, None
    values["rate"] = output.rate()
    values["kl"] = tuple(latent.kl() for latent in latents)
    if not output.likelihood.normalized:
        return values, None
    log_w = output.log_w(x)
    values["elbo_mc"] = log_w
    return values, log_w


def _masked(values: Array, used: Array, otherwise: float) -> Array:
    """Replaces the rows of axis 0 that are not used."""
    return jnp.where(used.reshape(-1, *[1] * (values.ndim - 1)), values, otherwise)
