"""The aggregated posterior q(z) = 1/N sum_n q(z | x_n), with every training code in it.

    rate = E_n KL(q(z | x_n) || p(z)) = I(n; z) + KL(q(z) || p(z))

splits the KL term of the ELBO into what the code tells about the image and how far the
codes as a whole are from the prior. Source: Hoffman and Johnson 2016, section 2.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from vae_jax.distributions import LOG_2PI, DiagonalNormal, Distribution
from vae_jax.evaluation.chunks import even_rows, map_chunks
from vae_jax.types import Array, Key

Prior = Callable[[int], Distribution]  # number of codes -> p(z) with fields [B, D]

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, section 5.2
OUTER_MASS = 0.01  # of the prior, outside the region that holds the other 99%
# Rows of the table queries x codes that are in memory at once.
QUERIES_PER_CHUNK = 50


@struct.dataclass
class Codes:
    """Posterior means and standard deviations of a split: the parts of q(z)."""

    mean: Array  # [N, D]
    std: Array  # [N, D], all zero for a plain autoencoder

    @property
    def has_density(self) -> bool:
        """False for the points of a plain autoencoder."""
        return bool((self.std > 0).all())

    def sample(self, key: Key, num_draws: int) -> Array:
        """Codes z ~ q(z), [num_draws, D]."""
        row_key, noise_key = jax.random.split(key)
        rows = jax.random.randint(row_key, (num_draws,), 0, self.mean.shape[0])
        eps = jax.random.normal(noise_key, (num_draws, self.mean.shape[1]))
        return self.mean[rows] + self.std[rows] * eps

    def covariance(self) -> Array:
        """Of q(z): covariance of the means + mean of the variances, [D, D]."""
        centered = self.mean - self.mean.mean(axis=0, keepdims=True)
        of_means = jnp.matmul(centered.T, centered, precision="highest")
        return of_means / len(self.mean) + jnp.diag((self.std**2).mean(axis=0))

    def square_root(self) -> Array:
        """A with A A^T = covariance, [D, D]; also where a dimension is constant."""
        values, vectors = jnp.linalg.eigh(self.covariance())
        return vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :]


def standard_normal(latent_dim: int) -> Prior:
    """p(z) = N(0, I)."""

    def prior(num_codes: int) -> DiagonalNormal:
        zeros = jnp.zeros((num_codes, latent_dim))
        return DiagonalNormal(mean=zeros, log_std=zeros)

    return prior


def collapse(codes: Codes) -> dict[str, float | None]:
    """How much of each code is noise: what tells a VAE from a plain autoencoder.

    Args:
        codes: of the training split.

    Returns:
        `posterior_variance`, `noise_share`, `snr_log10`, `code_std`, `active_units`:
        see docs/regularity.md.
    """
    noise = np.asarray((codes.std**2).mean(axis=0), np.float64)  # [D]
    signal = np.asarray(codes.mean.var(axis=0), np.float64)
    total = noise + signal
    shares = noise[total > 0] / total[total > 0]
    snr = None
    if codes.has_density:
        # A dimension with a constant mean has SNR 0: the median stands up to its -inf.
        with np.errstate(divide="ignore"):
            snr = float(np.median(np.log10(signal / noise)))
    return {
        "posterior_variance": float(noise.mean()),
        "noise_share": float(shares.mean()) if len(shares) else None,
        "snr_log10": snr,
        "code_std": float(np.sqrt(total.mean())),
        "active_units": float((signal > ACTIVE_VARIANCE).sum()),
    }


def outside_prior(codes: Codes, prior: Prior, key: Key) -> float:
    """Share of q(z) where the prior's density is below its 1% quantile.

    For p = N(0, I) that is the share outside the ball that holds 99% of the prior's
    mass, in general the share outside its 99% highest-density region.

    Args:
        codes: of the training split.
        prior: p(z).
        key: of 100,000 draws of the prior and 100,000 of q(z).

    Returns:
        In [0, 1]; 0.01 if q = p.
    """
    prior_key, code_key = jax.random.split(key)
    num_draws = 100_000
    p = prior(num_draws)
    threshold = jnp.quantile(p.log_prob(p.sample(prior_key)), OUTER_MASS)
    z = codes.sample(code_key, num_draws)
    return float((p.log_prob(z) < threshold).mean())


@jax.jit
def mixture_log_density(codes: Codes, rows: Array, eps: Array) -> tuple[Array, ...]:
    """log q(z) at z = mean[row] + std[row] * eps, its own part and the others apart.

    Args:
        codes: N of them.
        rows: which code each z is drawn from, [Q].
        eps: standard normal, [Q, D].

    Returns:
        z [Q, D], and in nats log q(z | x_row) [Q] and log sum_{n != row} q(z | x_n)
        [Q].
    """
    precision = codes.std**-2
    center = codes.mean.mean(axis=0, keepdims=True)
    mean = codes.mean - center  # smaller numbers: less cancels in the square below
    log_norm = jnp.log(codes.std).sum(axis=1) + 0.5 * mean.shape[1] * LOG_2PI  # [N]
    weights = jnp.concatenate([precision, -2 * mean * precision], axis=1)  # [N, 2D]
    offset = (mean**2 * precision).sum(axis=1)  # [N]

    def one_chunk(chunk: tuple[Array, Array]) -> Array:
        z, own_row = chunk
        # The square (z - mean)^2 / std^2 multiplied out is one matrix product.
        powers = jnp.concatenate([z**2, z], axis=1)
        square = jnp.matmul(powers, weights.T, precision="highest") + offset[None, :]
        log_q = -0.5 * jnp.maximum(square, 0.0) - log_norm[None, :]
        own = jnp.arange(mean.shape[0])[None, :] == own_row[:, None]
        return jax.nn.logsumexp(jnp.where(own, -jnp.inf, log_q), axis=1)

    z = mean[rows] + codes.std[rows] * eps
    # Its own part is computed from eps: where std is 1e-4 the product above has lost
    # all digits of a square that ought to be about D.
    own = -0.5 * (eps**2).sum(axis=1) - log_norm[rows]
    others = map_chunks(one_chunk, (z, rows), QUERIES_PER_CHUNK)
    return z + center, own, others


def marginal_kl(
    codes: Codes, prior: Prior, key: Key, num_queries: int = 2000
) -> dict[str, float | None]:
    """KL(q(z) || p(z)) and the mutual information I(n; z), each from both sides.

    With z ~ q(z | x_n), the mean of log q(z | x_n) - log 1/N sum_m q(z | x_m) is a
    lower bound of the information that a code has about an image; it can't pass
    log N. Without m = n in the sum it is an upper bound, as is the rate (Poole et al.
    2019, section 2.2). KL = rate - information turns them around.

    Args:
        codes: of the training split, at least two.
        prior: p(z).
        key: of the draws.
        num_queries: Q, how many z.

    Returns:
        `mutual_information` (the lower bound, as in the literature),
        `mutual_information_high`, `mutual_information_cap` = log N, `marginal_kl` (the
        upper bound) and `marginal_kl_low`, all in nats. None for a plain autoencoder,
        where q(z) has no density.
    """
    num_codes = codes.mean.shape[0]
    if not codes.has_density:
        names = ("marginal_kl", "marginal_kl_low", "mutual_information")
        names += ("mutual_information_high", "mutual_information_cap")
        return dict.fromkeys(names)
    # Evenly spread over the split, each code at most once where there are enough.
    rows = jnp.asarray(even_rows(num_codes, num_queries))
    eps = jax.random.normal(key, (len(rows), codes.mean.shape[1]))
    z, own, others = mixture_log_density(codes, rows, eps)
    log_p = prior(len(rows)).log_prob(z)
    log_q = jnp.logaddexp(own, others) - math.log(num_codes)
    rate = float((own - log_p).mean())
    kl = float((log_q - log_p).mean())
    without_own = float((others - log_p).mean()) - math.log(num_codes - 1)
    kl_low = min(max(without_own, 0.0), kl)  # a KL divergence is at least 0
    return {
        "marginal_kl": kl,
        "marginal_kl_low": kl_low,
        "mutual_information": rate - kl,
        "mutual_information_high": rate - kl_low,
        "mutual_information_cap": math.log(num_codes),
    }
