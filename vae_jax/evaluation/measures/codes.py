"""The codes of all training examples: their noise, and how they fill the prior."""

from vae_jax.evaluation import aggregate, decomposition
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.first_layer import FirstLayer, train_codes
from vae_jax.evaluation.holes import hole_mass
from vae_jax.evaluation.measures.base import (
    NOISE,
    Effort,
    Measure,
    Numbers,
    finite,
    needs_heldout,
)
from vae_jax.quantities import LOWER, SHARE, UPPER, Group, Quantity, one
from vae_jax.trained import Trained
from vae_jax.types import Key, stream

MAX_HELDOUT = 10_000  # examples whose codes a classifier is judged on
LEAST = 2  # codes that have a variance, or a sum without one of them

PRIOR = Group(
    "The codes against the prior",
    "Whether the codes of all images together fill the prior: where they do not, a draw"
    " from the prior decodes to something that training never saw.",
)

ESTIMATE = Group("The estimate of the total correlation", drawn=False)

QUANTITIES = (
    Quantity(
        "Noise share",
        "The posterior variance as a share of the code's total variance, averaged over"
        " dimensions; it does not change when the code is stretched.",
        one("noise_share"),
        NOISE,
        "0 for an autoencoder, 1 for a code that is only noise",
        "between the two",
        scale="log",
    ),
    Quantity(
        "Signal to noise",
        "Variance of the posterior means over the variance of the noise, median over"
        " dimensions, as a power of ten. Stretching the code does not change it.",
        one("snr_log10"),
        NOISE,
        "any; 0 where signal and noise are equal",
        "0.5 to 2; far above it is an autoencoder",
        "log10",
    ),
    Quantity(
        "Spread of the codes",
        "Root mean square standard deviation of all codes together, noise included.",
        one("code_std"),
        NOISE,
        "0 or more",
        "that of the prior: 1 for a standard normal",
    ),
    Quantity(
        "Hole mass",
        "Share of the prior that the codes leave empty, the integral of max(p - q, 0):"
        " a lower bound, from a classifier that tells the two apart.",
        one("hole_mass"),
        PRIOR,
        f"{SHARE}, or a little below by chance",
        "near 0",
        scale="share",
        best="smallest",
        brief="code",
    ),
    Quantity(
        "Outside the prior",
        "Share of the codes outside the region that holds 99% of the prior; less than"
        " 1% is no better.",
        one("outside_prior"),
        PRIOR,
        SHARE,
        "0.01, as the prior itself",
        scale="share",
        brief="code",
    ),
    Quantity(
        "Codes to prior, KL",
        "KL of the codes as a whole to the prior, between two bounds. Where they lie"
        " far apart, the data are too few to tell.",
        {"marginal_kl": UPPER, "marginal_kl_low": LOWER},
        PRIOR,
        "0 or more",
        "near 0, with bounds that agree",
        "nats",
        best="smallest",
    ),
    Quantity(
        "Information in a code",
        "What a code tells about which image it is of, between two bounds. The lower"
        " one cannot pass log N, the dashed line.",
        {
            "mutual_information": LOWER,
            "mutual_information_high": UPPER,
            "mutual_information_cap": "log N",
        },
        PRIOR,
        "0, a code that says nothing, to the rate",
        "not 0",
        "nats",
        brief="code",
    ),
    Quantity(
        "Total correlation",
        "What the dimensions of a code share: KL of all codes together to the product"
        " of their dimensions, between two bounds; the number in the sum adds up with"
        " information and KL by dimension to the rate. Where the bounds lie far apart,"
        " the data are too few to tell. Narrow posteriors make the estimate from a"
        " batch, which losses use, far too high.",
        {
            "total_correlation": "in the sum",
            "total_correlation_low": LOWER,
            "total_correlation_high": UPPER,
            "batch_total_correlation": "from batches of 64 codes",
        },
        PRIOR,
        "0 or more",
        "near 0, with bounds that agree, where each dimension should have a meaning of"
        " its own",
        "nats",
        error="total_correlation_standard_error",
        best="smallest",
    ),
    Quantity(
        "KL by dimension",
        "KL of each dimension of all codes to the prior's, summed over dimensions,"
        " between two bounds. Not defined where the prior's dimensions depend on one"
        " another.",
        {"dimension_kl": UPPER, "dimension_kl_low": LOWER},
        PRIOR,
        "0 or more",
        "near 0",
        "nats",
        best="smallest",
    ),
    Quantity(
        "Total correlation, standard error",
        "Of the mean over draws.",
        one("total_correlation_standard_error"),
        ESTIMATE,
        unit="nats",
    ),
)


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """The numbers of `aggregate` and `holes` for the layer next to the data.

    Where there are layers above, p(z1) has no density that can be computed: the parts
    of the rate and the share outside the prior are None.
    """
    key = stream(key, "regularity")
    layer = FirstLayer.of_split(trained, data.heldout)
    codes = train_codes(layer, data.train, key)
    heldout_z = layer.draws(data.heldout.some(MAX_HELDOUT), stream(key, "heldout"))
    prior, numbers = layer.prior, aggregate.collapse(codes)
    if layer.is_only:
        kl_key, outside_key = stream(key, "marginal_kl"), stream(key, "outside")
        numbers |= decomposition.decompose_rate(codes, prior, kl_key)
        numbers["outside_prior"] = aggregate.outside_prior(codes, prior, outside_key)
    numbers["hole_mass"] = hole_mass(codes, heldout_z, prior, stream(key, "holes"))
    return {name: finite(value) for name, value in numbers.items()}


def why_not(trained: Trained, data: Data) -> str | None:
    """It needs a normal or a point for q(z1 | x), and held-out examples.

    With a label, it is the codes of each label by themselves that are to fill a prior.
    """
    layer = FirstLayer.of_split(trained, data.heldout)
    if layer.is_conditional:
        what = trained.conditions_on
        return f"needs a decoder of the code alone, and this one is given the {what}"
    if layer.is_joined:
        return "needs a decoder of one layer's code, and this one needs all layers'"
    if not layer.is_normal:
        name = layer.posterior.__name__
        return f"needs codes with a diagonal normal posterior or none, not {name}"
    return needs_heldout(LEAST, data)


MEASURE = Measure(run, QUANTITIES, why_not)
