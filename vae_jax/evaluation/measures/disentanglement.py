"""Whether each dimension of the posterior means stands for one factor of variation.

docs/disentanglement.md says what each number asks, and where it misleads.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.evaluation.data import Data, Split
from vae_jax.evaluation.disentanglement import (
    beta_vae_score,
    dci,
    factor_vae_score,
    irs,
    mig,
    modularity,
    sap,
    standard_errors,
)
from vae_jax.evaluation.disentanglement.linear import linear_scores
from vae_jax.evaluation.disentanglement.neighbours import modularity_and_compactness
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.evaluation.measures.base import Effort, Measure, Numbers
from vae_jax.quantities import SHARE, Group, Quantity, keys_of, one
from vae_jax.trained import Trained
from vae_jax.types import Key, stream

MAX_HELDOUT = 10_000  # examples whose codes are measured
LEAST_ROWS = 32  # with each of two values of a factor: it is split, and resampled

DISENTANGLEMENT = Group(
    "Disentanglement",
    "Whether each dimension of the posterior means stands for one factor of variation,"
    " on held-out examples. Where the data have no factors, the label is taken as the"
    " only one, and what compares factors is not defined.",
    ranks=True,
)
ERRORS = Group("Disentanglement, standard errors", drawn=False)
MISLEADS = {
    "mig": "Misleads: 0 where two dimensions share a factor, however well.",
    "modularity": "Misleads: pure noise has about 0.7.",
    "irs": "Misleads: noise has about 0.4, and more the more examples there are.",
    "beta_vae_score": "Misleads: it is 1 for many codes that mix factors.",
    "factor_vae_score": "Misleads: a random encoder can reach a high value.",
    "sap": "Misleads: low for perfect codes of factors with many values.",
    "dci": "Misleads: it depends on the trees, so that figures of other programs can't"
    " be compared.",
    "there": "Misleads: it asks whether the factors are there, not where, so mixed"
    " codes have it, too.",
    "info": "Misleads: estimates of no information differ by chance, so that noise has"
    " more than 0.",
}


def _score(key: str, title: str, meaning: str, misleads: str, span: str) -> Quantity:
    return Quantity(
        title,
        f"{meaning} {MISLEADS[misleads]}",
        one(key),
        DISENTANGLEMENT,
        span,
        "near 1",
        scale="share",
        error=f"{key}_standard_error",
    )


SCORES = (
    _score(
        "mig",
        "MIG",
        "Mutual information gap: how much more the best dimension tells about a factor"
        " than the second best, as a share of the factor's entropy, with 20 bins of"
        " equally many examples.",
        "mig",
        f"{SHARE}; 0 for noise, below 1 for factors with more than 20 values",
    ),
    _score(
        "modularity",
        "Modularity",
        "Whether each dimension tells about a single factor, from the same bins.",
        "modularity",
        SHARE,
    ),
    _score(
        "irs",
        "IRS",
        "Interventional robustness: how little a dimension varies while its own factor"
        " stays the same.",
        "irs",
        SHARE,
    ),
    _score(
        "beta_vae_score",
        "BetaVAE score",
        "Accuracy of a linear classifier that sees from differences of codes which"
        " factor the examples share.",
        "beta_vae_score",
        f"{SHARE}; one over the number of factors for noise",
    ),
    _score(
        "factor_vae_score",
        "FactorVAE score",
        "Accuracy of naming the factor that examples share by the dimension that varies"
        " least.",
        "factor_vae_score",
        f"{SHARE}; one over the number of factors for noise",
    ),
    _score(
        "dci_disentanglement",
        "DCI disentanglement",
        "Whether each dimension is important for a single factor, as random forests"
        " find it.",
        "dci",
        f"{SHARE}; near 0 for noise",
    ),
    _score(
        "dci_completeness",
        "DCI completeness",
        "Whether a single dimension is important for each factor, as they find it.",
        "dci",
        f"{SHARE}; near 0 for noise",
    ),
    _score(
        "dci_informativeness",
        "DCI informativeness",
        "Accuracy of these forests on examples that they were not fitted to.",
        "there",
        f"{SHARE}; that of guessing for noise",
    ),
    _score(
        "sap",
        "SAP",
        "How much better the best dimension alone predicts a factor than the second"
        " best, as an accuracy of linear rules.",
        "sap",
        f"{SHARE}; 0 for noise",
    ),
    _score(
        "explicitness",
        "Explicitness",
        "Area under the ROC curve of a linear classifier of each factor, one value"
        " against the others.",
        "there",
        "0.5 for noise, to 1",
    ),
    _score(
        "infom",
        "InfoM",
        "Modularity of Hsu et al.: the share of a dimension's information that is about"
        " its main factor, from nearest neighbours.",
        "info",
        SHARE,
    ),
    _score(
        "infoc",
        "InfoC",
        "Compactness of Hsu et al.: the share of the information about a factor that is"
        " in its main dimension.",
        "info",
        SHARE,
    ),
    _score(
        "infoe",
        "InfoE",
        "Explicitness of Hsu et al.: the share of a factor's entropy that a linear"
        " classifier removes.",
        "there",
        "0 for noise or a little below, to 1",
    ),
)
QUANTITIES = (
    *SCORES,
    Quantity(
        "Standard errors",
        "Over the choice of examples, of the numbers with these names. Runs with other"
        " seeds differ by far more.",
        {score.error: score.title for score in SCORES},
        ERRORS,
    ),
    Quantity(
        "Factors",
        "How many factors of variation were measured; 1 where it is the label.",
        one("disentanglement_factors"),
        ERRORS,
    ),
)


class Metric(NamedTuple):
    """Numbers that are computed together, and how their errors are estimated."""

    keys: tuple[str, ...]
    compute: Callable[[Any, Any, int], Any]  # (codes, factors, seed) -> one, or a tuple
    least_dims: int = 1
    least_factors: int = 1
    num_resamples: int = 6  # of what takes seconds; see `standard_errors`
    share: float = 0.25

    def numbers(self, codes: Any, factors: Any, seed: int) -> Numbers:
        """By key; None where there are too few dimensions or factors."""
        too_few = codes.shape[1] < self.least_dims
        if too_few or factors.shape[1] < self.least_factors:
            return dict.fromkeys(self.keys)
        found = self.compute(codes, factors, seed)
        values = found if isinstance(found, tuple) else (found,)
        return dict(zip(self.keys, values, strict=True))


QUICK: dict[str, Any] = {"num_resamples": 50, "share": 0.5}
METRICS = (
    Metric(("mig",), lambda z, v, seed: mig(z, v), least_dims=2, **QUICK),
    Metric(
        ("modularity",), lambda z, v, seed: modularity(z, v), least_factors=2, **QUICK
    ),
    Metric(("irs",), lambda z, v, seed: irs(z, v), **QUICK),
    Metric(
        ("beta_vae_score",),
        lambda z, v, seed: beta_vae_score(z, v, seed=seed),
        least_factors=2,
    ),
    Metric(
        ("factor_vae_score",),
        lambda z, v, seed: factor_vae_score(z, v, seed=seed),
        least_factors=2,
    ),
    Metric(
        ("dci_disentanglement", "dci_completeness", "dci_informativeness"),
        lambda z, v, seed: dci(z, v, seed=seed),
    ),
    Metric(("sap",), lambda z, v, seed: sap(z, v, seed=seed), least_dims=2),
    Metric(
        ("explicitness", "infoe"),
        lambda z, v, seed: linear_scores(z, v, seed=seed),
    ),
    Metric(
        ("infom", "infoc"),
        lambda z, v, seed: modularity_and_compactness(z, v, seed=seed),
    ),
)


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """All numbers of at most 10,000 held-out examples, evenly spread over the split."""
    del effort
    split = data.heldout.some(MAX_HELDOUT)
    layer = FirstLayer.of(trained, split.x(np.zeros(1, int)))
    factors, known = usable_factors(split)
    if split.factors is None:
        logging.getLogger(__name__).info(
            "the data have no factors of variation: disentanglement is measured with"
            " the label as the only factor"
        )
    means, _ = layer.means_and_stds(split)
    seed = int(jax.random.bits(stream(key, "disentanglement")))
    return {
        **measure_codes(means[known], factors, seed),
        "disentanglement_factors": factors.shape[1],
    }


def measure_codes(codes: np.ndarray, factors: np.ndarray, seed: int) -> Numbers:
    """All metrics and their standard errors.

    Args:
        codes: posterior means, [N, D].
        factors: whole numbers from 0, [N, F].
        seed: for all that is drawn.

    Returns:
        A number for each score and its standard error by its key.
    """
    numbers: Numbers = {}
    for metric in METRICS:
        numbers |= metric.numbers(codes, factors, seed)
        errors = standard_errors(
            lambda z, v, metric=metric: metric.numbers(z, v, seed),
            codes,
            factors,
            num_resamples=metric.num_resamples,
            share=metric.share,
            seed=seed,
        )
        numbers |= {f"{name}_standard_error": error for name, error in errors.items()}
    return numbers


def usable_factors(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The factors that there is something to measure of, and of which rows.

    Those are left out of which fewer than two values occur in 32 rows each. Where there
    are no factors, the label is the only one.

    Args:
        split: examples with factors or labels.

    Returns:
        The factors, [n, F], and the row numbers of the n examples whose factors are
        known, [n].
    """
    if split.factors is not None:
        found, known = np.asarray(split.factors), np.arange(len(split))
    elif split.classes is not None:
        known = np.flatnonzero(split.classes >= 0)
        found = split.classes[known, None]
    else:
        known, found = np.arange(0), np.zeros((0, 0), int)
    counts = [np.unique(column, return_counts=True)[1] for column in found.T]
    usable = [(own >= LEAST_ROWS).sum() >= 2 for own in counts]
    return found[:, np.array(usable, bool)], known


def why_not(trained: Trained, data: Data) -> str | None:
    """It needs factors or labels, and a code that is a vector of numbers."""
    layer = FirstLayer.of(trained, data.heldout.x(np.zeros(1, int)))
    if layer.is_joined:
        return "needs a decoder of one layer's code, and this one needs all layers'"
    if not layer.is_continuous:
        return f"needs codes that are numbers, not those of {layer.posterior.__name__}"
    (shape,) = layer.shapes
    if len(shape) != 1:
        return f"needs codes that are vectors, not arrays of shape {shape}"
    split = data.heldout.some(MAX_HELDOUT)
    if split.factors is None and split.classes is None:
        return "needs factors of variation or labels, and the data have neither"
    if not usable_factors(split)[0].shape[1]:
        return (
            "needs a factor or a label with two values that occur in"
            f" {LEAST_ROWS} held-out examples each"
        )
    return None


MEASURE = Measure(run, QUANTITIES, why_not)
