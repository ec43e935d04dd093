"""What all metrics of disentanglement are given, checked and brought into one form."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.errors import DataError

Seed = int | np.random.Generator
TEST_EVERY = 4  # of the rows with the same value, every fourth is held out


class Rows(NamedTuple):
    """Codes and factors of the same examples, from `check`."""

    codes: np.ndarray  # [N, D] float64
    factors: np.ndarray  # [N, F] int64: the values that occur, numbered from 0
    sizes: tuple[int, ...]  # [F]: how many values of each factor occur

    @property
    def standardized(self) -> np.ndarray:
        """The codes with mean 0 and variance 1 in each dimension, [N, D].

        A dimension that is constant is 0.
        """
        centred = self.codes - self.codes.mean(axis=0)
        std = centred.std(axis=0)
        # The mean of equal numbers is not always exactly that number.
        constant = np.ptp(self.codes, axis=0) == 0
        return np.where(constant, 0.0, centred / np.where(constant, 1.0, std))


def check(
    codes: ArrayLike, factors: ArrayLike, *, least_dims: int = 1, least_factors: int = 1
) -> Rows:
    """Codes and factors in one form, or one line that says what is wrong with them.

    Args:
        codes: numbers that stand for N examples, [N, D].
        factors: values of the factors of variation, whole numbers from 0, [N, F]; or
            the labels of a single factor, [N].
        least_dims: how many dimensions of the codes a metric needs.
        least_factors: how many factors a metric needs.

    Returns:
        The `Rows`.

    Raises:
        DataError: shapes that do not fit together, fewer than two rows, fewer
            dimensions or factors than needed, a code that is not finite, a factor that
            is no whole number, is negative or has a single value.
    """
    codes, factors = np.asarray(codes), np.asarray(factors)
    if codes.ndim != 2 or codes.dtype.kind not in "fiub":
        raise DataError(f"codes must be numbers [N, D], not {_form(codes)}")
    if factors.ndim == 1:
        factors = factors[:, None]
    if factors.ndim != 2 or factors.dtype.kind not in "iub":
        raise DataError(f"factors must be whole numbers [N, F], not {_form(factors)}")
    if len(codes) != len(factors):
        raise DataError(
            f"there are {len(codes)} rows of codes and {len(factors)} of factors: row n"
            " of both must be of the same example"
        )
    if len(codes) < 2:
        raise DataError(f"codes has {len(codes)} rows: a metric compares two or more")
    for name, array, least in (
        ("codes", codes, least_dims),
        ("factors", factors, least_factors),
    ):
        if array.shape[1] < least:
            raise DataError(
                f"{name} has {array.shape[1]} columns, and this metric needs {least} or"
                " more"
            )
    codes = codes.astype(np.float64)
    if not np.isfinite(codes).all():
        row, dim = np.argwhere(~np.isfinite(codes))[0]
        raise DataError(
            f"codes[{row}, {dim}] is {codes[row, dim]}: codes must be finite"
        )
    return Rows(codes, *_numbered(factors))


def _form(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _numbered(factors: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """The values that occur as 0, 1, ..., and how many there are, factor by factor."""
    numbered = np.empty(factors.shape, np.int64)
    sizes = []
    for k, column in enumerate(factors.T):
        if column.min() < 0:
            raise DataError(
                f"factors[:, {k}] has the value {column.min()}: it must be 0 or above;"
                " leave out rows whose factor is not known"
            )
        values, numbered[:, k] = np.unique(column, return_inverse=True)
        if len(values) < 2:
            raise DataError(
                f"factors[:, {k}] is {values[0]} in every row: a factor must have two"
                " values or more"
            )
        sizes.append(len(values))
    return numbered, tuple(sizes)


def held_out(factors: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Which rows a predictor of a factor is tested on, and not fitted to, [N] bool.

    Of the rows with the same value, in random order, every fourth is held out, so
    that any value that is tested has been seen three times as often.

    Args:
        factors: numbered values, [N, F].
        k: the factor that is predicted.
        rng: source of the random order.

    Raises:
        DataError: fewer than two values occur in four rows.
    """
    column = factors[:, k]
    shuffled = rng.permutation(len(column))
    order = shuffled[np.argsort(column[shuffled], kind="stable")]
    counts = np.bincount(column)
    if (counts >= TEST_EVERY).sum() < 2:
        raise DataError(
            f"factors[:, {k}] has fewer than two values that occur in {TEST_EVERY} rows"
            " or more: there are too few rows to fit a predictor and to test it"
        )
    rank = np.arange(len(column)) - (np.cumsum(counts) - counts)[column[order]]
    tested = np.zeros(len(column), bool)
    tested[order[rank % TEST_EVERY == TEST_EVERY - 1]] = True
    return tested


def sklearn_seed(rng: np.random.Generator) -> int:
    """A seed in the form that scikit-learn takes."""
    return int(rng.integers(2**31))
