"""The aggregated posterior q(z) = 1/N sum_n q(z | x_n), with every training code in it.

`decomposition` splits the KL term of the ELBO with it.
"""

import functools
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from vae_jax.distributions import LOG_2PI, DiagonalNormal
from vae_jax.distributions.mixtures import weighted_squares
from vae_jax.evaluation.chunks import map_chunks
from vae_jax.types import Array, Key


class PriorOfCodes(Protocol):
    """What is asked of p(z): a pytree, of as many codes as it was made for.

    One whose dimensions are independent has the attribute `is_factorised`.
    """

    def sample(self, key: Key) -> Array:
        """One draw per row, [B, D]."""
        ...

    def log_prob(self, x: Array) -> Array:
        """Nats, [B]."""
        ...


Prior = Callable[[int], PriorOfCodes]  # number of codes -> p(z)

OUTER_MASS = 0.01  # of the prior, outside the region that holds the other 99%
NUM_DRAWS = 50_000  # of the prior and of q(z) each, that tell what lies outside
MOST_QUERIES = 50  # at a time
DENSITIES_PER_CHUNK = 3_000_000  # 12 MB


@struct.dataclass
class Codes:
    """Posterior means and standard deviations of a split: the parts of q(z)."""

    mean: Array  # [N, D]
    std: Array  # [N, D], all zero for a plain autoencoder

    @property
    def has_density(self) -> bool:
        """False for the points of a plain autoencoder."""
        return bool((self.std > 0).all())

    @functools.partial(jax.jit, static_argnames="num_draws")
    def sample(self, key: Key, num_draws: int) -> Array:
        """Codes z ~ q(z), [num_draws, D]."""
        row_key, noise_key = jax.random.split(key)
        rows = jax.random.randint(row_key, (num_draws,), 0, self.mean.shape[0])
        eps = jax.random.normal(noise_key, (num_draws, self.mean.shape[1]))
        return self.mean[rows] + self.std[rows] * eps

    @jax.jit
    def covariance(self) -> Array:
        """Of q(z): covariance of the means + mean of the variances, [D, D]."""
        centered = self.mean - self.mean.mean(axis=0, keepdims=True)
        of_means = jnp.matmul(centered.T, centered, precision="highest")
        return of_means / len(self.mean) + jnp.diag((self.std**2).mean(axis=0))

    @jax.jit
    def square_root(self) -> Array:
        """A with A A^T = covariance, [D, D]; also where a dimension is constant."""
        values, vectors = jnp.linalg.eigh(self.covariance())
        return vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :]

    @functools.partial(jax.jit, static_argnames="num_draws")
    def sample_fitted(self, key: Key, num_draws: int) -> Array:
        """Draws of the normal with q(z)'s mean and full covariance, [num_draws, D]."""
        eps = jax.random.normal(key, (num_draws, self.mean.shape[1]))
        shift = jnp.matmul(eps, self.square_root().T, precision="highest")
        return self.mean.mean(axis=0, keepdims=True) + shift


def standard_normal(latent_dim: int) -> Prior:
    """p(z) = N(0, I)."""
    return lambda num: DiagonalNormal.standard_like(jnp.zeros((num, latent_dim)))


def collapse(codes: Codes) -> dict[str, float | None]:
    """How much of a code is noise: what tells a VAE from a plain autoencoder.

    The first two stay the same when a latent dimension is stretched.

    Args:
        codes: means and standard deviations of q(z | x) on the training split.

    Returns:
        `noise_share`, the mean of std^2 as a share of the dimension's variance under
        q(z), averaged over dimensions; `snr_log10`, the median over dimensions of
        log10(variance of the means / mean of std^2), None for a plain autoencoder;
        `code_std`, the root mean square standard deviation of q(z).
    """
    noise = np.asarray((codes.std**2).mean(axis=0), np.float64)  # [D]
    signal = np.asarray(codes.mean.var(axis=0), np.float64)
    total = noise + signal
    used = total > 0  # a dimension that is constant for every image has no share
    snr = None
    if codes.has_density:
        # The median stands up to the -inf of a dimension whose mean is constant.
        with np.errstate(divide="ignore"):
            snr = float(np.median(np.log10(signal / noise)))
    return {
        "noise_share": float((noise / total)[used].mean()) if used.any() else None,
        "snr_log10": snr,
        "code_std": float(np.sqrt(total.mean())),
    }


def outside_prior(codes: Codes, prior: Prior, key: Key) -> float:
    """Share of q(z) where the prior's density is below its 1% quantile.

    For p = N(0, I) that is the share outside the ball that holds 99% of the prior, in
    general the share outside its 99% highest-density region.

    Args:
        codes: means and standard deviations of q(z | x) on the training split.
        prior: p(z).
        key: random key for the draws.

    Returns:
        The share, in [0, 1]; 0.01 if q = p.
    """
    return float(_share_outside(codes, prior(NUM_DRAWS), key))


@jax.jit
def _share_outside(codes: Codes, p: PriorOfCodes, key: Key) -> Array:
    prior_key, code_key = jax.random.split(key)
    log_p = p.log_prob(p.sample(prior_key))
    z = codes.sample(code_key, len(log_p))
    return (p.log_prob(z) < jnp.quantile(log_p, OUTER_MASS)).mean()


def mixture_log_density(
    codes: Codes, rows: Array, eps: Array
) -> tuple[Array, Array, Array]:
    """The terms of q(z) at z = mean[row] + std[row] * eps: its own and the others.

    Args:
        codes: N of them, std > 0.
        rows: which code each z is drawn from, [Q].
        eps: standard normal, [Q, D].

    Returns:
        z [Q, D], log q(z | x_row) [Q] and log sum_{n != row} q(z | x_n) [Q], nats.
    """
    center = codes.mean.mean(axis=0, keepdims=True)
    mean = codes.mean - center  # smaller numbers: less cancels in the square below
    precision = codes.std**-2
    log_norm = jnp.log(codes.std).sum(axis=1) + 0.5 * mean.shape[1] * LOG_2PI  # [N]

    def one_chunk(chunk: tuple[Array, Array]) -> Array:
        z, own_row = chunk
        log_q = -0.5 * weighted_squares(z, mean, precision) - log_norm[None, :]
        own = jnp.arange(mean.shape[0])[None, :] == own_row[:, None]
        return jax.nn.logsumexp(jnp.where(own, -jnp.inf, log_q), axis=1)

    z = mean[rows] + codes.std[rows] * eps
    # From eps: at std = 1e-4 the product has lost every digit of a square of about D.
    own = -0.5 * (eps**2).sum(axis=1) - log_norm[rows]
    return (
        z + center,
        own,
        map_chunks(one_chunk, (z, rows), _queries_per_chunk(mean.shape[0])),
    )


def dimension_log_densities(
    codes: Codes, rows: Array, eps: Array
) -> tuple[Array, Array]:
    """The terms of q(z_d) at the z of `mixture_log_density`, for each dimension d.

    Args:
        codes: N of them, std > 0.
        rows: which code each z is drawn from, [Q].
        eps: standard normal, [Q, D].

    Returns:
        log q(z_d | x_row) and log sum_{n != row} q(z_d | x_n), nats, both [Q, D].
    """
    num_codes = codes.mean.shape[0]
    log_norm = jnp.log(codes.std) + 0.5 * LOG_2PI  # [N, D]

    def one_chunk(chunk: tuple[Array, Array]) -> Array:
        z, own_row = chunk
        own = jnp.arange(num_codes)[None, :] == own_row[:, None]

        def one_dimension(given: tuple[Array, Array, Array, Array]) -> Array:
            z_d, mean, std, norm = given
            standardized = (z_d[:, None] - mean[None, :]) / std[None, :]
            log_q = -0.5 * standardized**2 - norm[None, :]
            return jax.nn.logsumexp(jnp.where(own, -jnp.inf, log_q), axis=1)

        given = z.T, codes.mean.T, codes.std.T, log_norm.T
        return jax.lax.map(one_dimension, given).T

    z = codes.mean[rows] + codes.std[rows] * eps
    own = -0.5 * eps**2 - log_norm[rows]
    return own, map_chunks(one_chunk, (z, rows), _queries_per_chunk(num_codes))


def _queries_per_chunk(num_codes: int) -> int:
    """How many z are compared with all codes at a time."""
    return max(1, min(MOST_QUERIES, DENSITIES_PER_CHUNK // num_codes))
