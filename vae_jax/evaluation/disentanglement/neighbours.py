"""Mutual information from nearest neighbours, and what InfoMEC makes of it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.evaluation.disentanglement.information import entropies, information
from vae_jax.evaluation.disentanglement.inputs import Rows, Seed, check, sklearn_seed
from vae_jax.evaluation.disentanglement.linear import predictive_information
from vae_jax.ranges import COUNT, require

NEIGHBOURS = 10
ACTIVE_SHARE = 1 / 20  # of the widest dimension's range, above which one is active


class InfoMEC(NamedTuple):
    """The three numbers of `infomec`."""

    modularity: float | None  # None for a single factor
    compactness: float | None  # None for a single active dimension
    explicitness: float


def infomec(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    discrete: bool = False,
    num_neighbours: int = NEIGHBOURS,
    seed: Seed = 0,
) -> InfoMEC:
    """InfoM, InfoC and InfoE: modularity, compactness and explicitness in nats.

    With N_dk = I(z_d; v_k) / H(v_k), over A active dimensions and F factors,

        InfoM = (mean_d max_k N_dk / sum_k N_dk - 1/F) / (1 - 1/F)
        InfoC = (mean_k max_d N_dk / sum_d N_dk - 1/A) / (1 - 1/A)
        InfoE = mean_k (H(v_k) - H(v_k | z)) / H(v_k)

    A dimension is active if its range is more than 1/20 of the widest one's. The
    information is estimated from nearest neighbours (Ross 2014), that of discrete codes
    by counting, and InfoE by `predictive_information`. Source: Hsu et al. 2023, section
    4, arXiv:2305.18378.

    Args:
        codes: numbers that stand for N examples, [N, D].
        factors: whole numbers from 0, [N, F] or [N].
        discrete: whether the numbers of a code are names of values, such as indices
            into a codebook, and not places on a line.
        num_neighbours: neighbours with the same value that the estimate looks at.
        seed: a number or a generator for held-out rows and ties.

    Returns:
        All up to 1, which perfect codes reach up to the error of the estimates; noise
        has an InfoE of 0, but an InfoM and InfoC above 0, because estimates of no
        information differ by chance. Constant codes have 0.

    Raises:
        DataError: see `inputs.check` and `inputs.held_out`.
        ConfigError: num_neighbours is no whole number above 0.
    """
    rng = np.random.default_rng(seed)
    modularity, compactness = modularity_and_compactness(
        codes, factors, discrete=discrete, num_neighbours=num_neighbours, seed=rng
    )
    if discrete:
        columns = check(codes, factors).codes.T
        one_hot = [z[:, None] == np.unique(z) for z in columns]
        codes = np.concatenate(one_hot, axis=1)
    information = predictive_information(codes, factors, seed=rng)
    return InfoMEC(modularity, compactness, information)


def modularity_and_compactness(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    discrete: bool = False,
    num_neighbours: int = NEIGHBOURS,
    seed: Seed = 0,
) -> tuple[float | None, float | None]:
    """InfoM and InfoC of `infomec`, whose arguments these are."""
    rows = check(codes, factors)
    require(COUNT, num_neighbours=num_neighbours)
    ranges = np.ptp(rows.codes, axis=0)
    active = ranges > ACTIVE_SHARE * ranges.max()
    num_factors, num_active = len(rows.sizes), int(active.sum())
    if not num_active:
        return (0.0 if num_factors > 1 else None), 0.0
    rows = rows._replace(codes=rows.codes[:, active])
    if discrete:
        binned = [np.unique(z, return_inverse=True)[1] for z in rows.codes.T]
        table = information(np.stack(binned, axis=1), rows)
    else:
        table = _neighbour_information(rows, num_neighbours, seed)
    table = table / entropies(rows)
    return (
        _largest_share(table) if num_factors > 1 else None,
        _largest_share(table.T) if num_active > 1 else None,
    )


def _neighbour_information(rows: Rows, num_neighbours: int, seed: Seed) -> np.ndarray:
    """I(z_d; v_k) from nearest neighbours, nats, [D, F]."""
    from sklearn.feature_selection import mutual_info_classif

    rng = np.random.default_rng(seed)
    columns = [
        mutual_info_classif(
            rows.codes,
            column,
            discrete_features=False,
            n_neighbors=num_neighbours,
            random_state=sklearn_seed(rng),
        )
        for column in rows.factors.T
    ]
    return np.stack(columns, axis=1)


def _largest_share(table: np.ndarray) -> float:
    """Mean over rows of the largest number's share, from 0 for equal ones to 1.

    A row of zeros counts as one of equal numbers.
    """
    even = 1 / table.shape[1]
    total = table.sum(axis=1)
    shares = np.where(
        total > 0, table.max(axis=1) / np.where(total > 0, total, 1), even
    )
    return float((shares.mean() - even) / (1 - even))
