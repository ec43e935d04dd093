"""log p(x) by importance sampling from the posterior, and what else the samples tell.

With z_k ~ q(z | x) and log-weights log w_k = log p(x, z_k) - log q(z_k | x),

    log p(x) >= E[log 1/K sum_k w_k],

the IWAE bound (Burda et al. 2016, equation 8). It rises with K and is the "NLL" that
papers report at K = 5,000. Samples are taken in chunks with a running log-sum-exp, so
memory depends on the size of a chunk and not on K.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.evaluation.chunks import Progress, row_chunks
from vae_jax.evaluation.moments import Moments
from vae_jax.outputs import VAEOutput, flat_moments
from vae_jax.ranges import COUNT, require
from vae_jax.training.checks import check_output
from vae_jax.types import AnyArray, Array, Examples, Key, Params

Apply = Callable[[Params, Examples, Key], VAEOutput]
Statistics = dict[str, Any]  # arrays [B], and per layer tuples of arrays [B, D_l]
Layers = tuple[Moments, ...]
# Over samples: of the statistics, and of w and w^2, as logs.
Sums = tuple[Statistics, Array, Array]

# 1,000 decoded rows at a time keep a small network's activations in the CPU's cache.
ROWS_ON_CPU = 1000
# Numbers of the decoded rows elsewhere: 43,000 rows of MNIST. An H100 decodes 64,000
# rows of the network of benchmarks/nll.py ten times as fast as it does 1,000 at a time.
NUMBERS_PER_CHUNK = 2**25


def importance_statistics(
    apply: Apply,
    params: Params,
    x: Examples,
    key: Key,
    num_samples: int,
    sample_chunk: int = 50,
) -> Statistics:
    """Draws K codes per example and averages what the model says about them.

    Args:
        apply: (params, x, key) -> VAEOutput with fields [B, ...].
        params: parameters of the model, or whatever `apply` takes in their place.
        x: a batch, [B, ...], or a pytree of such arrays.
        key: random key for the draws.
        num_samples: K, at least 1; any number, also one that the chunk doesn't divide.
        sample_chunk: how many of the K samples are decoded at once. Memory is that of
            B * sample_chunk decoded images.

    Returns:
        Numbers per example, in nats where they have a unit:
        `log_px` [B], log of the mean weight: the IWAE bound with K samples;
        `ess` [B], effective sample size (sum w)^2 / sum w^2, between 1 and K;
        `distortion` [B], minus the mean of log p(x | z);
        `rate` [B], KL(q || p) summed over layers, in closed form where there is one;
        `kl`, its parts: a tuple over layers of [B, D_l] ([B, 1] if only estimated);
        `mean` and `variance` of the posterior: tuples over layers of [B, D_l].
        A posterior that is a point mass (a plain autoencoder) leaves out `log_px`,
        `ess`, `rate` and `kl`; a likelihood that is no density (`normalized = False`)
        leaves out the first two.

    Raises:
        ConfigError: num_samples or sample_chunk is no whole number above 0.
        ContractError: the output does not fit x, see `training.checks.check_output`.
    """
    require(COUNT, num_samples=num_samples, sample_chunk=sample_chunk)
    chunk = min(sample_chunk, num_samples)

    def one_sample(z_key: Key) -> tuple[Statistics, Array | None]:
        output = apply(params, x, z_key)
        check_output(output, x)
        return _one_sample(output, x)

    def add_chunk(carry: Sums, index: Array) -> tuple[Sums, None]:
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
        add_chunk, (zeros, nothing, nothing), jnp.arange(-(-num_samples // chunk))
    )
    statistics = jax.tree.map(lambda total: total / num_samples, sums)
    if log_w_shape is not None:
        statistics["log_px"] = log_sum - math.log(num_samples)
        statistics["ess"] = jnp.exp(2 * log_sum - log_sum_squares)
    return statistics


def evaluate_examples(
    apply: Apply,
    params: Params,
    draw: Callable[[Any], Examples],
    num_examples: int,
    key: Key,
    *,
    num_samples: int,
    batch_size: int | None = None,
    sample_chunk: int = 50,
    progress: Progress | None = None,
) -> Statistics:
    """`importance_statistics` of a whole split: numbers by example, moments by layer.

    The program is compiled again only for another `apply`, another K or another size of
    chunks. The draws depend on the key and on the sizes of the chunks. Traced by `jit`
    or `vmap`, the batches become one loop of the compiled program.

    Args:
        apply: (params, x, key) -> VAEOutput.
        params: parameters of the model, or whatever `apply` takes in their place.
        draw: (rows [B]) -> x, the examples in these rows.
        num_examples: N.
        key: random key for the draws; batch i gets `fold_in(key, i)`.
        num_samples: K.
        batch_size: examples at a time; by default as many as make 1,000 decoded ones
            with the samples of a chunk on a CPU, and more elsewhere.
        sample_chunk: samples at a time.
        progress: called with (examples done, N) after each batch.

    Returns:
        The numbers of `importance_statistics` that are [N], and `layers`, a tuple of
        `Moments`. NumPy arrays, in double precision, unless traced.

    Raises:
        ConfigError: num_samples, batch_size or sample_chunk is no whole number above
            0.
    """
    example = draw(np.zeros(1, np.int32))
    if batch_size is None:
        at_once = max(1, min(sample_chunk, num_samples))
        batch_size = max(1, _rows_at_once(example) // at_once)
    require(COUNT, batch_size=batch_size)

    def batch(
        i: ArrayLike, rows: AnyArray, used: AnyArray
    ) -> tuple[Statistics, Layers]:
        batch_key = jax.random.fold_in(key, i)
        settings = (apply, num_samples, sample_chunk)
        return _batch_statistics(settings, params, draw(rows), used, batch_key)

    chunks = row_chunks(num_examples, batch_size, progress)
    leaves = jax.tree.leaves((params, key, example))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return _in_one_program(batch, list(chunks), num_examples)
    parts: list[Statistics] = []
    layers: Layers | None = None
    for i, (rows, new) in enumerate(chunks):
        found, moments = jax.device_get(batch(i, rows, np.arange(len(rows)) < new))
        parts.append({name: np.float64(v[:new]) for name, v in found.items()})
        # In double precision: a running mean in float32 would lose digits.
        moments = jax.tree.map(np.float64, moments)
        layers = moments if layers is None else _merged(layers, moments)
    whole = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return {**whole, "layers": layers}


def _rows_at_once(example: Examples) -> int:
    """How many rows to decode at a time on the default device."""
    if jax.default_backend() == "cpu":
        return ROWS_ON_CPU
    numbers = sum(array.size for array in jax.tree.leaves(example))
    return max(ROWS_ON_CPU, NUMBERS_PER_CHUNK // numbers)


def _in_one_program(
    batch: Callable[..., tuple[Statistics, Layers]],
    chunks: Sequence[tuple[np.ndarray, int]],
    num_examples: int,
) -> Statistics:
    """The batches one after the other inside the program that is being traced."""
    rows = np.stack([rows for rows, _ in chunks])
    used = np.arange(rows.size).reshape(rows.shape) < num_examples
    steps = (jnp.arange(len(rows)), jnp.asarray(rows), jnp.asarray(used))
    found, moments = jax.lax.map(lambda step: batch(*step), steps)
    first, others = (jax.tree.map(lambda v, k=k: v[k], moments) for k in (0, np.s_[1:]))
    layers, _ = jax.lax.scan(lambda m, new: (_merged(m, new), None), first, others)
    whole = {name: v.reshape(-1)[:num_examples] for name, v in found.items()}
    return {**whole, "layers": layers}


@partial(jax.jit, static_argnums=0)
def _batch_statistics(
    settings: tuple[Apply, int, int], params: Params, x: Examples, used: Array, key: Key
) -> tuple[Statistics, Layers]:
    apply, num_samples, sample_chunk = settings
    found = importance_statistics(apply, params, x, key, num_samples, sample_chunk)
    means, variances = found.pop("mean"), found.pop("variance")
    kls = found.pop("kl", (None,) * len(means))
    parts = zip(means, variances, kls, strict=True)
    return found, tuple(Moments.of(*part, used) for part in parts)


def _merged(layers: Layers, others: Layers) -> Layers:
    return tuple(a.merged(b) for a, b in zip(layers, others, strict=True))


def _one_sample(output: VAEOutput, x: Examples) -> tuple[Statistics, Array | None]:
    """What is averaged over samples, and the log-weights [B] where they exist."""
    latents = output.latents
    moments = [flat_moments(latent.posterior) for latent in latents]
    values: Statistics = {
        "distortion": -output.log_lik(x),
        "mean": tuple(mean for mean, _ in moments),
        "variance": tuple(variance for _, variance in moments),
    }
    if not output.has_density:
        return values, None
    values["rate"] = output.rate()
    values["kl"] = tuple(latent.kl() for latent in latents)
    if not output.likelihood.normalized:
        return values, None
    return values, output.log_w(x)


def _masked(values: Array, used: Array, otherwise: float) -> Array:
    """Replaces the rows of axis 0 that are not used."""
    return jnp.where(used.reshape(-1, *[1] * (values.ndim - 1)), values, otherwise)
