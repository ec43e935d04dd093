"""All metrics of the same codes, with their standard errors."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.evaluation.disentanglement.forests import dci
from vae_jax.evaluation.disentanglement.information import mig, modularity
from vae_jax.evaluation.disentanglement.inputs import check
from vae_jax.evaluation.disentanglement.interventions import irs
from vae_jax.evaluation.disentanglement.linear import linear_scores, sap
from vae_jax.evaluation.disentanglement.neighbours import modularity_and_compactness
from vae_jax.evaluation.disentanglement.resampling import standard_errors
from vae_jax.evaluation.disentanglement.votes import beta_vae_score, factor_vae_score

Numbers = dict[str, float | None]


class Metric(NamedTuple):
    """Numbers that are computed together, and how their errors are estimated."""

    keys: tuple[str, ...]
    compute: Callable[..., float | tuple[float | None, ...]]  # (codes, factors, seed=)
    least_dims: int = 1
    least_factors: int = 1
    num_resamples: int = 6  # of what takes seconds; see `standard_errors`
    share: float = 0.25

    def numbers(self, codes: np.ndarray, factors: np.ndarray, seed: int) -> Numbers:
        """By key; None where there are too few dimensions or factors.

        Args:
            codes: [N, D].
            factors: [N, F].
            seed: a number that all random choices follow from.
        """
        too_few = codes.shape[1] < self.least_dims
        if too_few or factors.shape[1] < self.least_factors:
            return dict.fromkeys(self.keys)
        found = self.compute(codes, factors, seed=seed)
        values = found if isinstance(found, tuple) else (found,)
        return dict(zip(self.keys, values, strict=True))


QUICK: dict[str, Any] = {"num_resamples": 50, "share": 0.5}
METRICS = (
    Metric(("mig",), lambda z, v, seed: mig(z, v), least_dims=2, **QUICK),
    Metric(
        ("modularity",), lambda z, v, seed: modularity(z, v), least_factors=2, **QUICK
    ),
    Metric(("irs",), lambda z, v, seed: irs(z, v), **QUICK),
    Metric(("beta_vae_score",), beta_vae_score, least_factors=2),
    Metric(("factor_vae_score",), factor_vae_score, least_factors=2),
    Metric(("dci_disentanglement", "dci_completeness", "dci_informativeness"), dci),
    Metric(("sap",), sap, least_dims=2),
    Metric(("explicitness", "infoe"), linear_scores),
    Metric(("infom", "infoc"), modularity_and_compactness),
)


def all_metrics(codes: ArrayLike, factors: ArrayLike, *, seed: int = 0) -> Numbers:
    """All metrics and their standard errors.

    10,000 codes of ten dimensions with the factors of dSprites take about 40 seconds
    of one core (docs/disentanglement.md).

    Args:
        codes: numbers that stand for N examples, usually posterior means, [N, D].
        factors: whole numbers from 0, [N, F] or [N].
        seed: a number that all random choices follow from.

    Returns:
        A number for each key of `METRICS`, and for each KEY its standard error
        KEY_standard_error, see `standard_errors`. None stands for what is not defined
        for a single factor or a single dimension, and for an error of a number that
        takes more rows than there are.

    Raises:
        DataError: see `inputs.check` and `inputs.held_out`.
    """
    rows = check(codes, factors)
    numbers: Numbers = {}
    for metric in METRICS:
        numbers |= metric.numbers(rows.codes, rows.factors, seed)
        errors = standard_errors(
            functools.partial(metric.numbers, seed=seed),
            rows.codes,
            rows.factors,
            num_resamples=metric.num_resamples,
            share=metric.share,
            seed=seed,
        )
        numbers |= {f"{name}_standard_error": error for name, error in errors.items()}
    return numbers
