"""Mutual information of codes and factors by counting in bins: MIG and modularity."""

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.evaluation.disentanglement.inputs import Rows, check
from vae_jax.ranges import COUNT, require

NUM_BINS = 20


def mig(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_bins: int = NUM_BINS,
    equal_width: bool = False,
) -> float:
    """The mutual information gap.

    Mean over the factors v_k of

        (I(z_a; v_k) - I(z_b; v_k)) / H(v_k)

    with a and b the dimensions that tell most and second most about v_k. Source: Chen
    et al. 2018, section 4, arXiv:1802.04942.

    Args:
        codes: numbers that stand for N examples, usually posterior means, [N, D], D
            at least 2.
        factors: whole numbers from 0, [N, F] or [N].
        num_bins: into how many bins the values of a dimension are sorted. A factor with
            more values than that can't reach 1.
        equal_width: bins of equal width, as in the papers, in place of bins with
            equally many examples. A single outlier then spoils the number.

    Returns:
        0 to 1. Perfect codes reach 1, or log(num_bins) / log(values) for a factor with
        more values than bins; 0 where no dimension tells anything, and also where two
        dimensions tell the same.

    Raises:
        DataError: see `inputs.check`.
        ConfigError: num_bins is no whole number above 0.
    """
    gaps = mig_by_factor(codes, factors, num_bins=num_bins, equal_width=equal_width)
    return float(gaps.mean())


def mig_by_factor(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_bins: int = NUM_BINS,
    equal_width: bool = False,
) -> np.ndarray:
    """The gap of each factor, [F]; its mean is `mig`, whose arguments these are."""
    rows = check(codes, factors, least_dims=2)
    table = table_of(rows, num_bins, equal_width)
    second, first = np.sort(table, axis=0)[-2:]
    return (first - second) / entropies(rows)


def modularity(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_bins: int = NUM_BINS,
    equal_width: bool = False,
) -> float:
    """Whether each dimension tells about a single factor.

    Mean over all dimensions d of

        1 - (sum_k I_dk^2 - max_k I_dk^2) / ((F - 1) max_k I_dk^2),  I_dk = I(z_d; v_k)

    and 0 for a dimension that is constant. Source: Ridgeway and Mozer 2018, section
    3, arXiv:1802.05312.

    Args:
        codes: see `mig`; D may be 1.
        factors: whole numbers from 0, [N, F], F at least 2.
        num_bins: see `mig`.
        equal_width: see `mig`.

    Returns:
        0 to 1; 1 for perfect codes. Pure noise does not have 0 but about 0.7: what the
        estimate of an information of 0 happens to be differs between factors.

    Raises:
        DataError: see `inputs.check`.
        ConfigError: num_bins is no whole number above 0.
    """
    rows = check(codes, factors, least_factors=2)
    squares = table_of(rows, num_bins, equal_width) ** 2
    best = squares.max(axis=1)
    tells = best > 0
    others = squares.sum(axis=1) - best
    spread = others / np.where(tells, best * (len(rows.sizes) - 1), 1.0)
    return float(np.where(tells, 1 - spread, 0.0).mean())


def information_table(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_bins: int = NUM_BINS,
    equal_width: bool = False,
) -> np.ndarray:
    """I(z_d; v_k) of every dimension and every factor, in nats, [D, F].

    The estimate counts how often values and bins occur together. For independent
    numbers it is about (bins - 1) (values - 1) / 2N too large.

    Args:
        codes: see `mig`; D may be 1.
        factors: see `mig`.
        num_bins: see `mig`.
        equal_width: see `mig`.
    """
    return table_of(check(codes, factors), num_bins, equal_width)


def table_of(rows: Rows, num_bins: int, equal_width: bool) -> np.ndarray:
    """`information_table` of rows that are checked."""
    require(COUNT, num_bins=num_bins)
    binned = [bins(z, num_bins, equal_width) for z in rows.codes.T]
    return information(np.stack(binned, axis=1), rows)


def information(binned: np.ndarray, rows: Rows) -> np.ndarray:
    """Mutual information of whole numbers and the factors, nats, [D, F].

    Args:
        binned: whole numbers from 0, [N, D].
        rows: the factors.
    """
    factors_entropy = entropies(rows)
    table = np.empty((binned.shape[1], len(rows.sizes)))
    for d, z in enumerate(binned.T):
        own = _entropy(np.bincount(z))
        for k, size in enumerate(rows.sizes):
            both = _entropy(np.bincount(z * size + rows.factors[:, k]))
            table[d, k] = own + factors_entropy[k] - both
    return np.maximum(table, 0.0)  # rounding can make a 0 negative


def entropies(rows: Rows) -> np.ndarray:
    """H(v_k) of each factor, nats, [F]."""
    return np.array([_entropy(np.bincount(column)) for column in rows.factors.T])


def bins(z: np.ndarray, num_bins: int, equal_width: bool) -> np.ndarray:
    """The number of the bin of each value, [N], from 0.

    Equal values share a bin, so there may be fewer bins than asked for; where there are
    no more values than bins, each has its own. Bins with equally many values do not
    change when all values are sent through an increasing function, and are the same
    from the other end.

    Args:
        z: values, [N].
        num_bins: at most so many bins.
        equal_width: bins of equal width, not with equally many values.
    """
    if equal_width:
        low, high = z.min(), z.max()
        if low == high:
            return np.zeros(len(z), np.int64)
        share = (z - low) / (high - low)
        return np.minimum((share * num_bins).astype(np.int64), num_bins - 1)
    values, own, counts = np.unique(z, return_inverse=True, return_counts=True)
    if len(values) <= num_bins:
        return own
    middle = np.cumsum(counts) - counts / 2  # of the ranks that share a value
    return np.floor(middle / len(z) * num_bins).astype(np.int64)[own]


def _entropy(counts: np.ndarray) -> float:
    """Nats."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())
