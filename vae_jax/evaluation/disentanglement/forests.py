"""What random forests find important: DCI."""

import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.evaluation.disentanglement.inputs import (
    Seed,
    check,
    held_out,
    sklearn_seed,
)
from vae_jax.ranges import COUNT, require

NUM_TREES = 25
# Least share of the rows in a leaf. Smaller leaves split by chance, which makes noise
# look important, and predict no better.
LEAF, LEAF_OF_VALUE = 0.005, 0.2
# Members of a grid are measured two at a time. For each tree scikit-learn empties the
# filters of warnings of the whole process, and warns where another thread has.
_ONE_FOREST = threading.Lock()


class DCI(NamedTuple):
    """The three numbers of `dci`."""

    disentanglement: float | None  # None for a single factor
    completeness: float | None  # None for a single dimension
    informativeness: float


def dci(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_trees: int = NUM_TREES,
    seed: Seed = 0,
) -> DCI:
    """Disentanglement, completeness and informativeness.

    With R_dk the importance of dimension d for a classifier of factor k, and H_n an
    entropy with logarithms to the base n,

        disentanglement = sum_d w_d (1 - H_F(R_d. / sum_k R_dk)), w_d ~ sum_k R_dk
        completeness    = mean_k (1 - H_D(R_.k / sum_d R_dk))
        informativeness = mean_k accuracy of the classifier on held-out rows

    Source: Eastwood and Williams 2018, ICLR. The classifiers are random forests in
    which every split sees all dimensions; the boosted trees of Locatello et al. 2019
    take minutes for a factor with 40 values. R is the mean decrease of impurity.

    Args:
        codes: numbers that stand for N examples, [N, D].
        factors: whole numbers from 0, [N, F] or [N].
        num_trees: trees of a forest.
        seed: a number or a generator for the forests and the held-out rows.

    Returns:
        All 0 to 1, and all 1 for perfect codes. Disentanglement and completeness are
        near 0 for noise, and where factors are rotated into one another;
        informativeness of noise is the frequency of the most frequent value.
        Numbers of other classifiers or versions can't be compared with these.

    Raises:
        DataError: see `inputs.check` and `inputs.held_out`.
        ConfigError: num_trees is no whole number above 0.
    """
    from sklearn.ensemble import RandomForestClassifier

    rows = check(codes, factors)
    require(COUNT, num_trees=num_trees)
    rng = np.random.default_rng(seed)
    importance = np.empty((rows.codes.shape[1], len(rows.sizes)))
    accuracy = np.empty(len(rows.sizes))
    for k, (v, size) in enumerate(zip(rows.factors.T, rows.sizes, strict=True)):
        tested = held_out(rows.factors, k, rng)
        forest = RandomForestClassifier(
            num_trees,
            max_features=None,
            min_samples_leaf=min(LEAF, LEAF_OF_VALUE / size),
            random_state=sklearn_seed(rng),
        )
        with _ONE_FOREST:
            forest.fit(rows.codes[~tested], v[~tested])
            importance[:, k] = forest.feature_importances_
            accuracy[k] = forest.score(rows.codes[tested], v[tested])
    disentanglement = completeness = None
    if len(rows.sizes) > 1:
        weights = importance.sum(axis=1)
        total = max(weights.sum(), np.finfo(float).tiny)
        disentanglement = float((weights * _concentration(importance)).sum() / total)
    if len(importance) > 1:
        completeness = float(_concentration(importance.T).mean())
    return DCI(disentanglement, completeness, float(accuracy.mean()))


def _concentration(rows: np.ndarray) -> np.ndarray:
    """1 minus the entropy of each row as shares, to the base of its length.

    A row without any weight is as little concentrated as can be.
    """
    total = rows.sum(axis=1, keepdims=True)
    width = rows.shape[1]
    shares = np.where(total > 0, rows / np.where(total > 0, total, 1), 1 / width)
    logs = np.log(np.where(shares > 0, shares, 1)) / np.log(width)
    return 1 + (shares * logs).sum(axis=1)
