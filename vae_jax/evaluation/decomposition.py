"""The rate in three numbers, with every training code in the aggregated posterior.

    rate = E_n KL(q(z | x_n) || p(z))
         = I(n; z) + KL(q(z) || prod_d q(z_d)) + sum_d KL(q(z_d) || p(z_d))

is what a code tells about its image, what the dimensions of codes share (the total
correlation), and how far each dimension is from the prior; the last two together are
KL(q(z) || p(z)). Sources: Hoffman and Johnson 2016, section 2; Chen et al. 2018,
arXiv:1802.04942, equation 2.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import DiagonalNormal
from vae_jax.evaluation.aggregate import (
    Codes,
    Prior,
    PriorOfCodes,
    dimension_log_densities,
    mixture_log_density,
)
from vae_jax.evaluation.chunks import even_rows
from vae_jax.evaluation.moments import standard_error
from vae_jax.objectives.total_correlation import batch_total_correlation
from vae_jax.types import Array, Key, stream

KEYS = (
    "mutual_information",
    "mutual_information_high",
    "mutual_information_cap",
    "marginal_kl",
    "marginal_kl_low",
    "total_correlation",
    "total_correlation_low",
    "total_correlation_high",
    "total_correlation_standard_error",
    "batch_total_correlation",
    "dimension_kl",
    "dimension_kl_low",
)
MOST_QUERIES, MOST_PAIRS = 2_000, 300_000_000  # z, and pairs of one with a code
BATCH_SIZE, NUM_BATCHES = 64, 100  # of what the estimator of a loss claims


def decompose_rate(
    codes: Codes, prior: Prior, key: Key, num_queries: int | None = None
) -> dict[str, float | None]:
    """Information, total correlation and KL by dimension, with bounds.

    With z ~ q(z | x_n), the mean of log q(z | x_n) - log 1/N sum_m q(z | x_m) is a
    lower bound of the information that a code has about an image, and can't pass log N.
    Without m = n in the sum it is an upper bound, and so is the rate (Poole et al.
    2019, section 2.2). KL = rate - information turns both around. The same holds for
    one dimension, log q(z_d), where N codes are seldom too few. Where the bounds are
    far apart, N codes are too few to know q(z).

    Args:
        codes: means and standard deviations of q(z | x) on at least two examples of
            the training split.
        prior: p(z).
        key: random key for the draws.
        num_queries: Q, how many z, at most N; None: 2,000, or fewer for more than
            150,000 codes, since the time grows with Q N D.

    Returns:
        In nats, with q(z) of all codes and so adding up to the rate of the same draws:
        `mutual_information` (a lower bound, as in the literature), `total_correlation`
        with its `total_correlation_standard_error`, and `dimension_kl` (an upper
        bound). The last two sum to `marginal_kl` (an upper bound). The other bounds are
        `mutual_information_high`, `total_correlation_low`, `total_correlation_high`,
        `dimension_kl_low` and `marginal_kl_low`; `mutual_information_cap` is log N.
        `batch_total_correlation` is what the estimator of a loss says of 64 codes,
        averaged over batches. All None for a plain autoencoder, whose q(z) has no
        density; `dimension_kl` None where the prior is no product over dimensions.
    """
    found: dict[str, float | None] = dict.fromkeys(KEYS)
    if not codes.has_density:
        return found
    num_codes = codes.mean.shape[0]
    if num_queries is None:
        num_queries = min(MOST_QUERIES, max(1, MOST_PAIRS // num_codes))
    rows = even_rows(num_codes, num_queries)
    p = prior(len(rows))
    terms = _log_densities(codes, p, rows, key)
    log = {name: np.asarray(values, np.float64) for name, values in terms.items()}
    kl = _between("marginal_kl", log, "joint", "prior")
    found |= kl | _between("total_correlation", log, "joint", "dimensions")
    if getattr(p, "is_factorised", False):
        found |= _between("dimension_kl", log, "dimensions", "prior")
    rate = float((log["own"] - log["prior"]).mean())
    shared = log["joint"] - log["dimensions"]
    above = float((log["joint"] - log["dimensions_without_own"]).mean())
    return found | {
        "mutual_information": rate - kl["marginal_kl"],
        "mutual_information_high": rate - kl["marginal_kl_low"],
        "mutual_information_cap": math.log(num_codes),
        "total_correlation_high": max(above, float(shared.mean())),
        "total_correlation_standard_error": standard_error(shared),
        "batch_total_correlation": _claimed_by_batches(codes, stream(key, "batches")),
    }


def _claimed_by_batches(codes: Codes, key: Key) -> float:
    """What the loss `beta_tc` says of batches of 64 codes, averaged over up to 100."""
    num_codes = codes.mean.shape[0]
    size = min(BATCH_SIZE, num_codes)
    count = min(NUM_BATCHES, num_codes // size)
    order = np.asarray(jax.random.permutation(stream(key, "rows"), num_codes))
    return float(_claimed(codes, order[: count * size].reshape(count, size), key))


@jax.jit
def _claimed(codes: Codes, rows: Array, key: Key) -> Array:
    def of_batch(chunk: tuple[Array, Key]) -> Array:
        own, key = chunk
        q = DiagonalNormal(codes.mean[own], jnp.log(codes.std[own]))
        return batch_total_correlation(q, q.sample(key))

    return jax.lax.map(of_batch, (rows, jax.random.split(key, len(rows)))).mean()


@jax.jit
def _log_densities(
    codes: Codes, p: PriorOfCodes, rows: Array, key: Key
) -> dict[str, Array]:
    """Log-densities of z ~ q(z | x_row), each [Q], nats.

    `own` is log q(z | x_row), `prior` log p(z), `joint` log q(z) and `dimensions` the
    sum of log q(z_d); these two also without the code of the row.
    """
    num_codes, num_dims = codes.mean.shape
    eps = jax.random.normal(key, (len(rows), num_dims))
    z, own, others = mixture_log_density(codes, rows, eps)
    own_parts, other_parts = dimension_log_densities(codes, rows, eps)
    with_own, without_own = math.log(num_codes), math.log(num_codes - 1)
    parts = jnp.logaddexp(own_parts, other_parts)
    return {
        "own": own,
        "prior": p.log_prob(z),
        "joint": jnp.logaddexp(own, others) - with_own,
        "joint_without_own": others - without_own,
        "dimensions": parts.sum(axis=1) - num_dims * with_own,
        "dimensions_without_own": other_parts.sum(axis=1) - num_dims * without_own,
    }


def _between(
    name: str, log: Mapping[str, np.ndarray], of: str, to: str
) -> dict[str, float]:
    """A divergence as the mean of a log-ratio, and its bound without a code's own."""
    value = float((log[of] - log[to]).mean())
    low = float((log[f"{of}_without_own"] - log[to]).mean())
    # A divergence is not negative.
    return {name: value, f"{name}_low": min(max(low, 0.0), value)}
