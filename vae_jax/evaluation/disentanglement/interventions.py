"""What changes in a code while one factor stays the same: IRS."""

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.evaluation.disentanglement.inputs import check
from vae_jax.ranges import SHARE, require

QUANTILE = 0.99


def irs(codes: ArrayLike, factors: ArrayLike, *, quantile: float = QUANTILE) -> float:
    """The interventional robustness score.

    For dimension d and factor k,

        S_dk = 1 - E_v q |z_d - E(z_d | v_k = v)| / max |z_d - E z_d|

    where q is the quantile over the examples with that value, and the mean E_v gives
    each value the same weight. The score is max_k S_dk, averaged over the dimensions
    with max |z_d - E z_d| as weights. Source: Suter et al. 2019, section 4,
    arXiv:1811.00007, as in the library of Locatello et al. 2019.

    Args:
        codes: numbers that stand for N examples, [N, D].
        factors: whole numbers from 0, [N, F] or [N].
        quantile: 1 is the largest deviation, as in the paper's definition.

    Returns:
        Up to 1, which perfect codes have; 0 where all codes are the same. Below 0, but
        above -1, where most examples with the same value lie at one end of a dimension
        and a few at the other. Noise does not have 0: its largest deviation of all rows
        is larger than the quantile of a group, the more so the more rows there are.
        Copies of a factor do not lower it, and a dimension that is stretched counts for
        more.

    Raises:
        DataError: see `inputs.check`.
        ConfigError: quantile is not between 0 and 1.
    """
    rows = check(codes, factors)
    require(SHARE, quantile=quantile)
    varies = np.ptp(rows.codes, axis=0) > 0
    if not varies.any():
        return 0.0
    z = rows.codes[:, varies]
    largest = np.abs(z - z.mean(axis=0)).max(axis=0)
    robust = np.empty((z.shape[1], len(rows.sizes)))
    for k, (column, size) in enumerate(zip(rows.factors.T, rows.sizes, strict=True)):
        order = np.argsort(column, kind="stable")
        ends = np.cumsum(np.bincount(column))[:-1]
        deviations = [
            np.quantile(np.abs(group - group.mean(axis=0)), quantile, axis=0)
            for group in np.split(z[order], ends)
        ]
        robust[:, k] = 1 - np.sum(deviations, axis=0) / size / largest
    return float(np.average(robust.max(axis=1), weights=largest))
