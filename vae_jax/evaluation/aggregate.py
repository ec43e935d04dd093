"""The aggregated posterior q(z) = 1/N sum_n q(z | x_n), with every training code in it.

    rate = E_n KL(q(z | x_n) || p(z)) = I(n; z) + KL(q(z) || p(z))

splits the KL term of the ELBO into what a code tells about its image and how far the
codes as a whole are from the prior. Source: Hoffman and Johnson 2016, section 2.
"""

import functools
import math
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from vae_jax.distributions import LOG_2PI, DiagonalNormal
from vae_jax.evaluation.chunks import even_rows, map_chunks
from vae_jax.types import Array, Key


class PriorOfCodes(Protocol):
    """What is asked of p(z): a pytree, of as many codes as it was made for."""

    def sample(self, key: Key) -> Array:
        """One draw per row, [B, D]."""
        ...

    def log_prob(self, x: Array) -> Array:
        """Nats, [B]."""
        ...


Prior = Callable[[int], PriorOfCodes]  # number of codes -> p(z)

OUTER_MASS = 0.01  # of the prior, outside the region that holds the other 99%
QUERIES_PER_CHUNK = 50  # 50 x 60,000 densities are 12 MB


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

    def prior(num_codes: int) -> DiagonalNormal:
        zeros = jnp.zeros((num_codes, latent_dim))
        return DiagonalNormal(mean=zeros, log_std=zeros)

    return prior


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


def outside_prior(
    codes: Codes, prior: Prior, key: Key, num_draws: int = 50_000
) -> float:
    """Share of q(z) where the prior's density is below its 1% quantile.

    For p = N(0, I) that is the share outside the ball that holds 99% of the prior, in
    general the share outside its 99% highest-density region.

    Args:
        codes: means and standard deviations of q(z | x) on the training split.
        prior: p(z).
        key: random key for the draws.
        num_draws: how many draws of the prior and of q(z) each.

    Returns:
        The share, in [0, 1]; 0.01 if q = p.
    """
    return float(_share_outside(codes, prior(num_draws), key))


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
    weights = jnp.concatenate([precision, -2 * mean * precision], axis=1)  # [N, 2D]
    offset = (mean**2 * precision).sum(axis=1)  # [N]

    def one_chunk(chunk: tuple[Array, Array]) -> Array:
        z, own_row = chunk
        # (z - mean)^2 / std^2, multiplied out, is one matrix product.
        powers = jnp.concatenate([z**2, z], axis=1)
        square = jnp.matmul(powers, weights.T, precision="highest") + offset[None, :]
        log_q = -0.5 * jnp.maximum(square, 0.0) - log_norm[None, :]
        own = jnp.arange(mean.shape[0])[None, :] == own_row[:, None]
        return jax.nn.logsumexp(jnp.where(own, -jnp.inf, log_q), axis=1)

    z = mean[rows] + codes.std[rows] * eps
    # From eps: at std = 1e-4 the product has lost every digit of a square of about D.
    own = -0.5 * (eps**2).sum(axis=1) - log_norm[rows]
    return z + center, own, map_chunks(one_chunk, (z, rows), QUERIES_PER_CHUNK)


@jax.jit
def _mean_log_ratios(
    codes: Codes, p: PriorOfCodes, rows: Array, key: Key
) -> tuple[Array, Array, Array]:
    """Means of log q(z | x_n), log q(z) and log q(z) without n, each minus log p(z)."""
    num_codes = codes.mean.shape[0]
    eps = jax.random.normal(key, (len(rows), codes.mean.shape[1]))
    z, own, others = mixture_log_density(codes, rows, eps)
    log_p = p.log_prob(z)
    log_q = jnp.logaddexp(own, others) - math.log(num_codes)
    without_own = others - math.log(num_codes - 1)
    rate, kl, kl_low = ((log - log_p).mean() for log in (own, log_q, without_own))
    return rate, kl, kl_low


def marginal_kl(
    codes: Codes, prior: Prior, key: Key, num_queries: int = 2000
) -> dict[str, float | None]:
    """KL(q(z) || p(z)) and the mutual information I(n; z), each from both sides.

    With z ~ q(z | x_n), the mean of log q(z | x_n) - log 1/N sum_m q(z | x_m) is a
    lower bound of the information that a code has about an image, and can't pass log N.
    Without m = n in the sum it is an upper bound, and so is the rate (Poole et al.
    2019, section 2.2). KL = rate - information turns both around. Where the bounds are
    far apart, N codes are too few to know q(z).

    Args:
        codes: means and standard deviations of q(z | x) on at least two examples of
            the training split.
        prior: p(z).
        key: random key for the draws.
        num_queries: Q, how many z.

    Returns:
        In nats `mutual_information` (the lower bound, as in the literature),
        `mutual_information_high`, `mutual_information_cap` = log N, `marginal_kl` (the
        upper bound) and `marginal_kl_low`. All None for a plain autoencoder, whose q(z)
        has no density.
    """
    num_codes = codes.mean.shape[0]
    if not codes.has_density:
        return dict.fromkeys(
            [
                "mutual_information",
                "mutual_information_high",
                "mutual_information_cap",
                "marginal_kl",
                "marginal_kl_low",
            ]
        )
    rows = even_rows(num_codes, num_queries)
    means = _mean_log_ratios(codes, prior(len(rows)), rows, key)
    rate, kl, without_own = (float(mean) for mean in means)
    # A divergence is not negative: this is the bound information <= rate.
    kl_low = min(max(without_own, 0.0), kl)
    return {
        "mutual_information": rate - kl,
        "mutual_information_high": rate - kl_low,
        "mutual_information_cap": math.log(num_codes),
        "marginal_kl": kl,
        "marginal_kl_low": kl_low,
    }
