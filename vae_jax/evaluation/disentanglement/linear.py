"""Linear predictors of factors: SAP, explicitness, and what they tell in nats."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.evaluation.disentanglement.inputs import (
    Rows,
    Seed,
    check,
    held_out,
    sklearn_seed,
)

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

SVC_C = 0.01  # of SAP, as in the library of Locatello et al. 2019
WEAK = 1e4  # C of logistic regression: so weak a penalty that it only keeps it finite
MOST_NEWTON = 1000  # coefficients, above which a Hessian matrix is too large


def sap(
    codes: ArrayLike, factors: ArrayLike, *, continuous: bool = False, seed: Seed = 0
) -> float:
    """The gap between the two dimensions that predict a factor best, on their own.

    Mean over factors of the difference between the largest and the second largest
    score of a dimension: the accuracy on held-out rows of a linear support vector
    machine that sees this dimension only. Source: Kumar et al. 2018, section 3,
    arXiv:1711.00848, with the settings of Locatello et al. 2019 (C = 0.01, classes
    weighted to be balanced). Each dimension is divided by its standard deviation first.

    Args:
        codes: numbers that stand for N examples, [N, D], D at least 2.
        factors: whole numbers from 0, [N, F] or [N].
        continuous: whether the score is the squared correlation instead, as the paper
            has it for factors whose values are numbers on a scale.
        seed: a number or a generator for the choice of held-out rows.

    Returns:
        0 to 1. A linear rule on one number can't tell more than a few ordered values
        apart, so that even perfect codes stay far below 1 where factors have many
        values, unless `continuous`. 0 for noise, and where two dimensions predict
        equally well.

    Raises:
        DataError: see `inputs.check` and `inputs.held_out`.
    """
    rows = check(codes, factors, least_dims=2)
    scores = _r_squared(rows) if continuous else _accuracies(rows, seed)
    second, first = np.sort(scores, axis=0)[-2:]
    return float((first - second).mean())


def _r_squared(rows: Rows) -> np.ndarray:
    """Squared correlations of dimensions and factors, [D, F]."""
    v = rows.factors - rows.factors.mean(axis=0)
    return (rows.standardized.T @ (v / v.std(axis=0)) / len(v)) ** 2


def _accuracies(rows: Rows, seed: Seed) -> np.ndarray:
    """Held-out accuracies of machines that see one dimension, [D, F]."""
    from sklearn.svm import LinearSVC

    rng, z = np.random.default_rng(seed), rows.standardized
    scores = np.empty((z.shape[1], len(rows.sizes)))
    for k, v in enumerate(rows.factors.T):
        tested = held_out(rows.factors, k, rng)
        for d in range(z.shape[1]):
            machine = LinearSVC(
                C=SVC_C, class_weight="balanced", random_state=sklearn_seed(rng)
            )
            own = z[:, d : d + 1]
            machine.fit(own[~tested], v[~tested])
            scores[d, k] = machine.score(own[tested], v[tested])
    return scores


def explicitness(codes: ArrayLike, factors: ArrayLike, *, seed: Seed = 0) -> float:
    """How well a linear classifier of all dimensions ranks the values of a factor.

    Area under the ROC curve, one value against the others, of a logistic regression on
    held-out rows; averaged over the values of a factor, then over factors. Source:
    Ridgeway and Mozer 2018, section 3, arXiv:1802.05312.

    Args:
        codes: numbers that stand for N examples, [N, D].
        factors: whole numbers from 0, [N, F] or [N].
        seed: a number or a generator for the choice of held-out rows.

    Returns:
        1 for perfect codes, 0.5 for noise. Mixed factors do not lower it: it asks
        whether a factor is there, not where.

    Raises:
        DataError: see `inputs.check` and `inputs.held_out`.
    """
    return linear_scores(codes, factors, seed=seed)[0]


def predictive_information(
    codes: ArrayLike, factors: ArrayLike, *, seed: Seed = 0
) -> float:
    """The share of a factor's entropy that a linear classifier removes: InfoE.

    Mean over factors of 1 - H(v | z) / H(v), where H(v | z) is the cross-entropy of a
    multinomial logistic regression and H(v) that of the frequencies of the values,
    both on held-out rows. Source: Hsu et al. 2023, section 4, arXiv:2305.18378.

    Args:
        codes: numbers that stand for N examples, [N, D].
        factors: whole numbers from 0, [N, F] or [N].
        seed: a number or a generator for the choice of held-out rows.

    Returns:
        Up to 1, which perfect codes reach nearly; 0 for noise, or a little below, as
        a classifier that was fitted to chance does harm.

    Raises:
        DataError: see `inputs.check` and `inputs.held_out`.
    """
    return linear_scores(codes, factors, seed=seed)[1]


def linear_scores(
    codes: ArrayLike, factors: ArrayLike, *, seed: Seed = 0
) -> tuple[float, float]:
    """`explicitness` and `predictive_information` of the same classifiers.

    Args:
        codes: numbers that stand for N examples, [N, D].
        factors: whole numbers from 0, [N, F] or [N].
        seed: a number or a generator for the choice of held-out rows.

    Raises:
        DataError: see `inputs.check` and `inputs.held_out`.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    rows, rng = check(codes, factors), np.random.default_rng(seed)
    z, found = rows.standardized, []
    for k, (v, size) in enumerate(zip(rows.factors.T, rows.sizes, strict=True)):
        tested = held_out(rows.factors, k, rng)
        classifier = logistic_regression(z[~tested], v[~tested])
        probabilities = classifier.predict_proba(z[tested])
        values = classifier.classes_  # all of them: three of four rows are fitted to
        occurs = np.isin(values, v[tested])
        area = roc_auc_score(
            v[tested, None] == values[None, occurs], probabilities[:, occurs]
        )
        loss = log_loss(v[tested], probabilities, labels=values)
        frequencies = np.bincount(v[~tested], minlength=size) / (~tested).sum()
        entropy = -np.log(frequencies[v[tested]]).mean()
        found.append((area, 1 - loss / entropy))
    area, share = np.mean(found, axis=0)
    return float(area), float(share)


def logistic_regression(x: np.ndarray, y: np.ndarray) -> "LogisticRegression":
    """A multinomial logistic regression without a penalty that matters.

    Args:
        x: numbers of about unit size, [N, D].
        y: classes, whole numbers, [N].

    Returns:
        The fitted `sklearn.linear_model.LogisticRegression`.
    """
    from sklearn.linear_model import LogisticRegression

    coefficients = len(np.unique(y)) * (x.shape[1] + 1)
    solver = "newton-cholesky" if coefficients <= MOST_NEWTON else "lbfgs"
    return LogisticRegression(C=WEAK, solver=solver, max_iter=1000).fit(x, y)
