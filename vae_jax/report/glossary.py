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
SHARE = "0 to 1"


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One chart: a number, or the same number from several sides."""

    title: str
    meaning: str
    lines: Mapping[str, str]  # key of results.json -> name of its line
    span: str = ""  # the values that it can take
    good: str = ""  # which of them are good
    unit: str = ""
    scale: Literal["linear", "log", "share"] = "linear"

    @property
    def name(self) -> str:
        """The first key, after which the figure's file is called."""
        return next(iter(self.lines))

    @property
    def label(self) -> str:
        """Title and unit, for an axis."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclasses.dataclass(frozen=True)
class Group:
    """A section of the report."""

    title: str
    text: str
    quantities: Sequence[Quantity]
    drawn: bool = True  # False: in the table only


def is_reference(key: str) -> bool:
    """Whether a number is not of the model, but the best that a model can reach."""
    return key.startswith("real_") or key.endswith("_cap")


def _at(key: str, *prefixes: str) -> dict[str, str]:
    return {prefix + key: SOURCES[prefix] for prefix in prefixes}


def _one(key: str) -> dict[str, str]:
    return {key: ""}


FIT = Group(
    "Fit",
    "Per test image; pixels and latent dimensions summed. The ELBO is always that of"
    " weight 1, whatever weight the training used.",
    [
        Quantity(
            "ELBO",
            "A lower bound of log p(x): minus rate, minus distortion.",
            _one("elbo"),
            "up to 0 for discrete pixels",
            "larger is better",
            "nats",
        ),
        Quantity(
            "Rate",
            "KL of q(z | x) to the prior: what the code costs. At weight 0 nothing"
            " holds it back, and its size means nothing.",
            _one("rate"),
            "0 or more; 0 is a code that says nothing",
            unit="nats",
            scale="log",
        ),
        Quantity(
            "Distortion",
            "Minus log p(x | z): what the reconstruction loses.",
            _one("distortion"),
            "0 or more for discrete pixels",
            "smaller, at the same rate",
            "nats",
        ),
        Quantity(
            "NLL",
            "Minus log p(x), estimated with weighted samples of q(z | x). The estimate"
            " is too high where q(z | x) is narrow, above all at weight 0. That of a"
            " density (normal, Laplace, continuous Bernoulli) may be negative, since a"
            " density may exceed 1, and on 8-bit images without noise"
            " (data.dequantize=False) it can't be compared between models.",
            _one("nll"),
            "0 or more for discrete pixels; not above minus ELBO",
            "smaller is better",
            "nats",
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
            "Mean variance of q(z | x) over images and dimensions.",
            _one("posterior_variance"),
            "0 for an autoencoder, 1 for a code that knows nothing of its image",
            "between the two",
            scale="log",
        ),
        Quantity(
            "Noise share",
            "The same variance as a share of the code's total variance, which does not"
            " change when the code is stretched.",
            _one("noise_share"),
            "0 for an autoencoder, 1 for a code that is only noise",
            "between the two",
            scale="log",
        ),
        Quantity(
            "Signal to noise",
            "Variance of the posterior means over the variance of the noise, median"
            " over dimensions, as a power of ten.",
            _one("snr_log10"),
            "any; 0 where signal and noise are equal",
            "above 0; far above it is an autoencoder",
            "log10",
        ),
        Quantity(
            "Active units",
            "Dimensions whose posterior mean has a variance above 0.01 over the data.",
            _one("active_units"),
            "0 to the number of latent dimensions",
            "not 0; says nothing about how well they are used",
            "dimensions",
        ),
        Quantity(
            "Spread of the codes",
            "Standard deviation of all codes together, noise included.",
            _one("code_std"),
            "0 or more",
            "that of the prior: 1 for a standard normal",
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
            f"{SHARE}, or a little below by chance",
            "near 0",
            scale="share",
        ),
        Quantity(
            "Outside the prior",
            "Share of the codes outside the region that holds 99% of the prior.",
            _one("outside_prior"),
            SHARE,
            "0.01, as the prior itself; less is no better",
            scale="share",
        ),
        Quantity(
            "Codes to prior, KL",
            "KL of the codes as a whole to the prior, between two bounds. Where they"
            " lie far apart, the data are too few to tell.",
            {"marginal_kl": "upper bound", "marginal_kl_low": "lower bound"},
            "0 or more",
            "near 0, with bounds that agree",
            "nats",
        ),
        Quantity(
            "Information in a code",
            "What a code tells about which image it is of, between two bounds. The"
            " lower one cannot pass log N, the dashed line.",
            {
                "mutual_information": "lower bound",
                "mutual_information_high": "upper bound",
                "mutual_information_cap": "log N",
            },
            "0 or more; not above the rate",
            "not 0, which is a code that says nothing",
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
            " its ends. Does not depend on the scale of the code.",
            _at("length_ratio", "", "codes_"),
            "1 or more; 1 is a straight line of images",
            "near 1",
        ),
        Quantity(
            "Path energy",
            "Mean squared speed of the image along that line.",
            _at("path_energy", "", "codes_"),
            "0 or more; 0 for a decoder that ignores the code",
            "smaller, as long as the images differ",
            "squared pixels",
            "log",
        ),
        Quantity(
            "Sensitivity",
            "How far p(x | z) moves when z moves by one unit; at the codes of the data"
            " the unit is their own standard deviation.",
            _at("sensitivity", "", "codes_"),
            "0 or more; 0 for a decoder that ignores the code",
            "smaller, as long as the images differ",
            "nats",
            "log",
        ),
    ],
)

COMPLETENESS = Group(
    "Completeness",
    "Whether a code drawn from the prior decodes to something meaningful. Draws of"
    " p(x | z) are compared with held-out images. Real images against real ones, the"
    " dashed line, are the best that can be had; a Gaussian fitted to the codes shows"
    " how much of the trouble is the prior's.",
    [
        Quantity(
            "Coverage",
            "Share of held-out images that have a draw among their nearest neighbours.",
            _at("coverage", *SOURCES),
            SHARE,
            "near that of real images",
            scale="share",
        ),
        Quantity(
            "Fréchet distance",
            "Between Gaussians fitted to draws and to held-out images in principal"
            " components, over the variance of the images.",
            _at("frechet_pca", *SOURCES),
            "0 or more; 1 for draws that all equal the mean image",
            "near that of real images",
        ),
        Quantity(
            "Sure labels",
            "Share of draws to which a small classifier gives a label with a"
            " probability of 0.95 or more. Not defined for a set with too many labels"
            " for its images: fewer than ten training images each.",
            _at("sure", *SOURCES),
            SHARE,
            "near that of real images",
            scale="share",
        ),
        Quantity(
            "Entropy of the labels",
            "How varied the labels are that it is sure about.",
            _at("label_entropy", *SOURCES),
            "0 for one label, log of the number of classes for all alike",
            "near that of real images",
            "nats",
        ),
        Quantity(
            "Round trip",
            "Squared distance between a code of the prior and the code of its draw,"
            " over the square of the first.",
            _one("round_trip"),
            "0 or more; 1 for an encoder that always answers 0",
            "small; for an exact posterior it is the posterior variance",
        ),
        Quantity(
            "Round trip inside",
            "Share of those codes inside the 99% region of q(z | x).",
            _one("round_trip_inside"),
            SHARE,
            "0.99, as with the exact posterior",
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
            "NLL, standard error",
            "Of the mean over images.",
            _one("nll_standard_error"),
            unit="nats",
        ),
        Quantity("NLL, samples", "Per image.", _one("nll_num_samples")),
        Quantity(
            "Effective sample size",
            "How many of those samples count. Near 1, the NLL is not to be trusted.",
            _one("effective_sample_size"),
            "1 to the number of samples",
            "larger is better",
        ),
        Quantity(
            "Bits per dimension",
            "The NLL per pixel.",
            _one("bits_per_dim"),
            good="smaller is better",
            unit="bits",
        ),
        Quantity(
            "Density",
            "How many neighbourhoods of held-out images a draw lies in. Misleads: it"
            " rewards draws that are all alike.",
            _one("density"),
            "0 or more",
        ),
        Quantity(
            "Precision",
            "Share of draws in any such neighbourhood. Misleads in the same way.",
            _one("precision"),
            SHARE,
        ),
        Quantity(
            "Recall",
            "Share of held-out images near a draw. Misleads: it rewards noise.",
            _one("recall"),
            SHARE,
        ),
        Quantity(
            "Classifier's accuracy",
            "On real test images, of the classifier behind the labels.",
            _one("classifier_accuracy"),
            SHARE,
            "near 1; else its labels mean little",
        ),
        Quantity("Parameters", "Numbers in the model.", _one("num_parameters")),
        Quantity(
            "Training time",
            "Compilation included; in a grid, an equal share of the program's.",
            _one("train_seconds"),
            unit="s",
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
    """The groups, reduced to the keys that there are; unknown keys come near the end.

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
