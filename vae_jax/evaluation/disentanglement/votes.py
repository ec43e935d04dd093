"""Scores of batches in which one factor is the same: BetaVAE and FactorVAE."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.errors import ConfigError, DataError
from vae_jax.evaluation.disentanglement.inputs import Rows, Seed, check
from vae_jax.evaluation.disentanglement.linear import logistic_regression
from vae_jax.ranges import COUNT, require

BATCH_SIZE = 64  # pairs or examples behind one point
NUM_TRAIN, NUM_TEST = 10_000, 5_000  # points
POINTS_PER_CHUNK = 1000
# A dimension with less than this share of the widest one's standard deviation is
# taken to be collapsed: its variance within a batch says nothing.
COLLAPSED = 0.05


def beta_vae_score(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    batch_size: int = BATCH_SIZE,
    num_train: int = NUM_TRAIN,
    num_test: int = NUM_TEST,
    seed: Seed = 0,
) -> float:
    """Whether a linear classifier sees which factor two examples share.

    A point is the mean of |z1 - z2| over `batch_size` pairs whose examples have the
    same value of one factor, by dimension; the classifier is a logistic regression,
    and the score its accuracy on other points. Source: Higgins et al. 2017, section 3.
    There the examples are drawn anew; here they are picked among the given rows. Each
    dimension is divided by its standard deviation first.

    Args:
        codes: numbers that stand for N examples, [N, D].
        factors: whole numbers from 0, [N, F], F at least 2.
        batch_size: pairs behind one point.
        num_train: points that the classifier is fitted to.
        num_test: points that it is tested on.
        seed: a number or a generator for the choice of rows.

    Returns:
        An accuracy: 1 for perfect codes, 1 / F for noise. It is 1 as well where
        factors are mixed, as long as each mixture reacts to its own factors.

    Raises:
        DataError: see `inputs.check`; or no two rows share the value of a factor.
        ConfigError: a size is no whole number above 0, or num_train is so small that
            all points share one factor.
    """
    rows = check(codes, factors, least_factors=2)
    require(COUNT, batch_size=batch_size, num_train=num_train, num_test=num_test)
    z, rng = rows.standardized, np.random.default_rng(seed)
    groups = [_Groups(rows, k) for k in range(len(rows.sizes))]

    def features(group: "_Groups", num: int) -> np.ndarray:
        first = group.anchors((num, batch_size), rng)
        return np.abs(z[first] - z[group.partners(first, rng)]).mean(axis=1)

    points, truth = _points(groups, features, num_train, rng)
    if len(np.unique(truth)) < 2:
        raise ConfigError(
            f"num_train={num_train}: all points share one factor, and a classifier"
            " needs points of two: choose a larger number"
        )
    test_points, test_truth = _points(groups, features, num_test, rng)
    classifier = logistic_regression(points, truth)
    return float((classifier.predict(test_points) == test_truth).mean())


def factor_vae_score(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    batch_size: int = BATCH_SIZE,
    num_train: int = NUM_TRAIN,
    num_test: int = NUM_TEST,
    seed: Seed = 0,
) -> float:
    """Whether the dimension that varies least says which factor is held fixed.

    A vote is the dimension whose variance within a batch with one fixed factor is the
    smallest share of its variance over all rows. The score is the accuracy, on other
    votes, of the rule that names for each dimension the factor it was most often the
    vote of. Source: Kim and Mnih 2018, section 4, arXiv:1802.05983. There the batches
    are drawn anew; here they are picked among the given rows, with replacement.

    Dimensions are left out as collapsed where their standard deviation is below 0.05
    of the widest one's; the paper leaves out those that equal the prior.

    Args:
        codes: numbers that stand for N examples, [N, D].
        factors: whole numbers from 0, [N, F], F at least 2.
        batch_size: examples behind one vote.
        num_train: votes that the rule is made from.
        num_test: votes that it is tested on.
        seed: a number or a generator for the choice of rows.

    Returns:
        An accuracy: 1 for perfect codes, about 1 / F for noise or constant codes.

    Raises:
        DataError: see `inputs.check`; or no two rows share the value of a factor.
        ConfigError: a size is no whole number above 0.
    """
    rows = check(codes, factors, least_factors=2)
    require(COUNT, batch_size=batch_size, num_train=num_train, num_test=num_test)
    std = rows.codes.std(axis=0)
    active = std > COLLAPSED * std.max()
    if not active.any():
        active[:] = True  # constant codes: all votes are alike, which is chance
    z, rng = rows.standardized[:, active], np.random.default_rng(seed)
    groups = [_Groups(rows, k) for k in range(len(rows.sizes))]

    def vote(group: "_Groups", num: int) -> np.ndarray:
        first = group.anchors((num, 1), rng)
        return z[group.like(first, batch_size, rng)].var(axis=1).argmin(axis=1)

    votes, truth = _points(groups, vote, num_train, rng)
    counts = np.zeros((z.shape[1], len(groups)), np.int64)
    np.add.at(counts, (votes, truth), 1)
    test_votes, test_truth = _points(groups, vote, num_test, rng)
    return float((counts.argmax(axis=1)[test_votes] == test_truth).mean())


class _Groups:
    """The rows by their value of one factor."""

    def __init__(self, rows: Rows, k: int) -> None:
        column = rows.factors[:, k]
        counts = np.bincount(column)
        self.order = np.argsort(column, kind="stable")
        self.places = np.argsort(self.order)  # of each row in that order
        self.counts = counts[column]  # of each row: how many are like it
        self.starts = (np.cumsum(counts) - counts)[column]
        self.shared = np.flatnonzero(self.counts > 1)
        if not len(self.shared):
            raise DataError(
                f"factors[:, {k}] has another value in every row: batches in which it"
                " is the same need two rows with the same value"
            )

    def anchors(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Rows that are not the only ones with their value."""
        return self.shared[rng.integers(len(self.shared), size=shape)]

    def partners(self, first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """For each row another one with the same value."""
        step = 1 + rng.integers(self.counts[first] - 1)
        place = self.places[first] - self.starts[first] + step
        return self.order[self.starts[first] + place % self.counts[first]]

    def like(self, first: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
        """Rows with the same value as each of `first` [n, 1], with replacement."""
        counts = np.broadcast_to(self.counts[first], (len(first), num))
        return self.order[self.starts[first] + rng.integers(counts)]


def _points(
    groups: list[_Groups],
    of_group: Callable[[_Groups, int], np.ndarray],
    num: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Points [num, ...] and which factor was fixed for each, drawn uniformly, [num]."""
    truth = np.sort(rng.integers(len(groups), size=num))
    points = []
    for k, group in enumerate(groups):
        left = int((truth == k).sum())
        while left:
            now = min(left, POINTS_PER_CHUNK)
            points.append(of_group(group, now))
            left -= now
    return np.concatenate(points), truth
