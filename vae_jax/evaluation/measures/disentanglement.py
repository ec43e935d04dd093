"""Whether each dimension of the posterior means stands for one factor of variation.

docs/disentanglement.md says what each number asks, and where it misleads.
"""

import logging

import jax
import numpy as np

from vae_jax.evaluation.data import Data, Split
from vae_jax.evaluation.disentanglement import all_metrics
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.evaluation.measures.base import Effort, Measure, Numbers
from vae_jax.quantities import SHARE, Group, Quantity, one
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
BRIEF = ("mig", "dci_disentanglement")
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
        best="largest",
        brief="code" if key in BRIEF else "",
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
        f"{SHARE}, below 0 in rare cases",
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


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """All numbers of at most 10,000 held-out examples, evenly spread over the split."""
    split = data.heldout.some(MAX_HELDOUT)
    layer = FirstLayer.of_split(trained, split)
    factors, known = usable_factors(split)
    if split.factors is None:
        logging.getLogger(__name__).info(
            "the data have no factors of variation: disentanglement is measured with"
            " the label as the only factor"
        )
    means, _ = layer.means_and_stds(split)
    seed = int(jax.random.bits(stream(key, "disentanglement")))
    return {
        **all_metrics(means[known], factors, seed=seed),
        "disentanglement_factors": factors.shape[1],
    }


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
    else:
        assert split.classes is not None  # see `why_not`
        known = np.flatnonzero(split.classes >= 0)
        found = split.classes[known, None]
    counts = [np.unique(column, return_counts=True)[1] for column in found.T]
    usable = [(own >= LEAST_ROWS).sum() >= 2 for own in counts]
    return found[:, np.array(usable, bool)], known


def why_not(trained: Trained, data: Data) -> str | None:
    """It needs factors or labels, and a code that is a vector of numbers."""
    layer = FirstLayer.of_split(trained, data.heldout)
    if len(layer.shapes) > 1:
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
