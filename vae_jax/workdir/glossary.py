"""What the numbers of results.json mean, in the words and the order of a report."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

# Prefixes of keys: where the codes come from that a number is measured at.
SOURCES = {
    "": "prior",
    "codes_": "codes of the data",
    "fitted_": "Gaussian fitted to the codes",
    "real_": "real images",
}


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One chart: a number, or the same number from several sides."""

    title: str
    meaning: str
    lines: Mapping[str, str]  # key of results.json -> name of its line
    unit: str = ""
    better: Literal["larger", "smaller", ""] = ""
    scale: Literal["linear", "log", "share"] = "linear"

    @property
    def name(self) -> str:
        """The first key, after which the figure's file is called."""
        return next(iter(self.lines))


@dataclasses.dataclass(frozen=True)
class Group:
    """A section of the report."""

    title: str
    text: str
    quantities: Sequence[Quantity]
    drawn: bool = True  # False: in the table only


def _at(key: str, *prefixes: str) -> dict[str, str]:
    return {prefix + key: SOURCES[prefix] for prefix in prefixes}


def _one(key: str) -> dict[str, str]:
    return {key: ""}


FIT = Group(
    "Fit",
    "Per test image, pixels and dimensions summed. The ELBO is always that of weight 1,"
    " whatever weight the training used.",
    [
        Quantity(
            "ELBO",
            "A lower bound of log p(x): minus rate, minus distortion.",
            _one("elbo"),
            "nats",
            "larger",
        ),
        Quantity(
            "Rate",
            "KL of q(z | x) to the prior: what the code costs. At weight 0 nothing"
            " holds it, and its size means nothing.",
            _one("rate"),
            "nats",
            scale="log",
        ),
        Quantity(
            "Distortion",
            "Minus log p(x | z): what the reconstruction loses.",
            _one("distortion"),
            "nats",
            "smaller",
        ),
        Quantity(
            "NLL",
            "Minus log p(x), estimated with weighted samples of q(z | x). The estimate"
            " is too high where q(z | x) is narrow, above all at weight 0.",
            _one("nll"),
            "nats",
            "smaller",
        ),
    ],
)

NOISE = Group(
    "Noise in the code",
    "Without the KL term the variance of q(z | x) shrinks towards 0 and the model"
    " becomes a plain autoencoder; with too much of it the code ignores the image.",
    [
        Quantity(
            "Posterior variance",
            "Mean variance of q(z | x): 0 for an autoencoder, 1 for a code that knows"
            " nothing of its image.",
            _one("posterior_variance"),
            scale="log",
        ),
        Quantity(
            "Noise share",
            "The same variance as a share of the code's total variance, which does not"
            " change when the code is stretched.",
            _one("noise_share"),
            scale="log",
        ),
        Quantity(
            "Signal to noise",
            "Variance of the posterior means over the noise, median over dimensions, as"
            " a power of ten: 0 where they are equal.",
            _one("snr_log10"),
            "log10",
        ),
        Quantity(
            "Active units",
            "Dimensions whose posterior mean varies by more than 0.01 over the data.",
            _one("active_units"),
            "dimensions",
        ),
        Quantity(
            "Spread of the codes",
            "Standard deviation of all codes together; 1 is that of the prior.",
            _one("code_std"),
        ),
    ],
)

CODES = Group(
    "The codes against the prior",
    "Whether the codes of all images together fill the prior: where they do not, a draw"
    " from the prior decodes to something that training never saw.",
    [
        Quantity(
            "Hole mass",
            "Share of the prior that the codes leave empty: a lower bound, from a"
            " classifier that tells the two apart.",
            _one("hole_mass"),
            better="smaller",
            scale="share",
        ),
        Quantity(
            "Outside the prior",
            "Share of the codes outside the region that holds 99% of the prior; 0.01"
            " where the two agree.",
            _one("outside_prior"),
            scale="share",
        ),
        Quantity(
            "Codes to prior, KL",
            "KL of the codes as a whole to the prior, between two bounds. Where they"
            " lie far apart, the data are too few to tell.",
            {"marginal_kl": "upper bound", "marginal_kl_low": "lower bound"},
            "nats",
            "smaller",
        ),
        Quantity(
            "Information in a code",
            "What a code tells about which image it is of, between two bounds. The"
            " lower one cannot pass log N.",
            {
                "mutual_information": "lower bound",
                "mutual_information_high": "upper bound",
                "mutual_information_cap": "log N",
            },
            "nats",
        ),
    ],
)

CONTINUITY = Group(
    "Continuity",
    "Whether codes that are near each other decode to similar images.",
    [
        Quantity(
            "Length ratio",
            "Length of the decoded straight line between two codes over the distance of"
            " its ends: 1 is a straight line of images. Does not depend on the scale of"
            " the code.",
            _at("length_ratio", "", "codes_"),
            better="smaller",
        ),
        Quantity(
            "Path energy",
            "Mean squared speed of the image along that line. Falls to 0 for a decoder"
            " that ignores the code.",
            _at("path_energy", "", "codes_"),
            "squared pixels",
            scale="log",
        ),
        Quantity(
            "Sensitivity",
            "How far p(x | z) moves when z moves by one unit; at the codes of the data"
            " the unit is their standard deviation.",
            _at("sensitivity", "", "codes_"),
            "nats",
            scale="log",
        ),
    ],
)

COMPLETENESS = Group(
    "Completeness",
    "Whether a code drawn from the prior decodes to something meaningful. Draws of"
    " p(x | z) are compared with held-out images; real images against real ones are the"
    " best that can be had.",
    [
        Quantity(
            "Coverage",
            "Share of held-out images that have a draw among their nearest neighbours.",
            _at("coverage", *SOURCES),
            better="larger",
            scale="share",
        ),
        Quantity(
            "Fréchet distance",
            "Between Gaussians fitted to draws and to held-out images in principal"
            " components, over the variance of the images.",
            _at("frechet_pca", *SOURCES),
            better="smaller",
        ),
        Quantity(
            "Sure labels",
            "Share of draws that a small classifier gives a label with a probability of"
            " 0.95 or more.",
            _at("sure", *SOURCES),
            better="larger",
            scale="share",
        ),
        Quantity(
            "Entropy of the labels",
            "Of the labels it is sure about; the log of the number of classes where all"
            " are equally frequent.",
            _at("label_entropy", *SOURCES),
            "nats",
            "larger",
        ),
        Quantity(
            "Round trip",
            "Squared distance between a code of the prior and the code of its draw,"
            " over the code's square: 1 for an encoder that answers 0.",
            _one("round_trip"),
            better="smaller",
        ),
        Quantity(
            "Round trip inside",
            "Share of those codes inside the 99% region of q(z | x); 0.99 for the exact"
            " posterior.",
            _one("round_trip_inside"),
            scale="share",
        ),
    ],
)

RUN = Group(
    "The run",
    "",
    [
        Quantity("Step", "Training steps.", _one("step")),
        Quantity(
            "NLL, standard error", "Over images.", _one("nll_standard_error"), "nats"
        ),
        Quantity("NLL, samples", "Per image.", _one("nll_num_samples")),
        Quantity(
            "Effective sample size",
            "How many of those samples count; near 1, the NLL is not to be trusted.",
            _one("effective_sample_size"),
            better="larger",
        ),
        Quantity(
            "Bits per dimension",
            "The NLL per pixel.",
            _one("bits_per_dim"),
            "bits",
            "smaller",
        ),
        Quantity(
            "Density",
            "How many neighbourhoods of held-out images a draw lies in. Misleads: it"
            " rewards draws that are all alike.",
            _one("density"),
        ),
        Quantity(
            "Precision",
            "Share of draws in any such neighbourhood. Misleads in the same way.",
            _one("precision"),
        ),
        Quantity(
            "Recall",
            "Share of held-out images near a draw. Misleads: it rewards noise.",
            _one("recall"),
        ),
        Quantity(
            "Classifier's accuracy",
            "On real test images, of the classifier behind the labels.",
            _one("classifier_accuracy"),
        ),
        Quantity("Parameters", "Numbers in the model.", _one("num_parameters")),
        Quantity(
            "Training time",
            "Compilation included; in a grid, an equal share of the program's.",
            _one("train_seconds"),
            "s",
        ),
        Quantity(
            "Images per second",
            "Steps times batch size over that time.",
            _one("images_per_second"),
        ),
    ],
    drawn=False,
)

GROUPS = (FIT, NOISE, CODES, CONTINUITY, COMPLETENESS, RUN)


def groups_of(keys: Sequence[str]) -> list[Group]:
    """The groups, reduced to the keys that there are; unknown keys come last.

    Args:
        keys: of results.json.

    Returns:
        Groups that are not empty. Each key is in exactly one line of one of them.
    """
    found = []
    for group in GROUPS:
        quantities = []
        for quantity in group.quantities:
            lines = {k: name for k, name in quantity.lines.items() if k in keys}
            if lines:
                quantities.append(dataclasses.replace(quantity, lines=lines))
        found.append(dataclasses.replace(group, quantities=quantities))
    known = {key for g in found for q in g.quantities for key in q.lines}
    other = [Quantity(key, "", _one(key)) for key in keys if key not in known]
    found.insert(-1, Group("Other numbers", "", other))
    return [group for group in found if group.quantities]
