"""How far a metric would move with other examples of the same model."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.errors import DataError
from vae_jax.evaluation.disentanglement.inputs import Seed, check

Scores = Mapping[str, float | None]


def standard_errors(
    scores: Callable[[np.ndarray, np.ndarray], Scores],
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_resamples: int = 50,
    share: float = 0.5,
    seed: Seed = 0,
) -> dict[str, float | None]:
    """Standard errors of metrics over the choice of examples, by subsampling.

    Each resample is a share s of the rows, drawn without replacement, and everything
    is computed anew from it. The standard deviation over resamples, times
    sqrt(s / (1 - s)), estimates the standard error with all rows (Politis and Romano
    1994). A bootstrap with replacement would not do: copies of a row are each other's
    nearest neighbours, and stand on both sides of a split into training and test rows.

    Args:
        scores: (codes [n, D], factors [n, F]) -> numbers by name.
        codes: see `mig`, [N, D].
        factors: see `mig`, [N, F] or [N].
        num_resamples: R. The relative error of the result is about 1 / sqrt(2 R - 2).
        share: s, between 0 and 1.
        seed: a number or a generator for the choice of rows.

    Returns:
        A standard error for each name; None where a number is not defined, or where
        fewer than half of the resamples had enough rows to compute it.

    Raises:
        DataError: see `inputs.check`.
    """
    rows, rng = check(codes, factors), np.random.default_rng(seed)
    num_rows = len(rows.codes)
    found: list[Scores] = []
    for _ in range(num_resamples):
        some = rng.permutation(num_rows)[: max(2, round(share * num_rows))]
        try:
            found.append(scores(rows.codes[some], rows.factors[some]))
        except DataError:  # a rare value is missing, or in too few rows
            continue
    if len(found) < max(2, num_resamples / 2):
        return dict.fromkeys(scores(rows.codes, rows.factors))
    factor = math.sqrt(share / (1 - share))
    return {name: _spread([own[name] for own in found], factor) for name in found[0]}


def _spread(values: list[float | None], factor: float) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < max(2, len(values) / 2):
        return None
    return factor * float(np.std(known, ddof=1))
