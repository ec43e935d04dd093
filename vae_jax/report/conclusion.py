"""What a comparison shows: a few sentences, made from its numbers and their errors."""

import math
from collections.abc import Mapping, Sequence

from vae_jax.as_text import few_digits
from vae_jax.quantities import Quantity, Section
from vae_jax.report.compare import Setting, amount

# Two means are told apart by more than so many standard errors of their difference.
STANDARD_ERRORS = 2
# A model that covers a smaller part of what the best one covers can't generate.
FEW = 0.5
MOST_NAMED = 3  # settings in a list
# Settings that differ in these have other images to be compared with.
OF_THE_IMAGES = (
    "data.name",
    "data.binarize",
    "data.dequantize",
    "data.image_size",
    "data.grayscale",
    "data.test_fraction",
)
# And in these, likelihoods are densities of different things; with a condition it is
# log p(x | y) that is bounded.
OF_THE_DATA = ("model.likelihood", *OF_THE_IMAGES, "model.condition")


def conclude(
    names: Mapping[Setting, str], sections: Sequence[Section], swept: Sequence[str]
) -> list[str]:
    """The sentences that a reader should see first.

    Args:
        names: name of each setting.
        sections: the quantities that there are.
        swept: config fields that differ between the settings.

    Returns:
        Which setting has the best ELBO and the most coverage, what reconstructs best
        and whether that can generate, and what no number here tells. A sentence names
        the settings that can't be told apart: those whose means differ by less than two
        standard errors of the difference, which holds wherever the errors overlap.
    """
    known = {key: q for s in sections for q in s.quantities for key in q.lines}
    found = []
    if different := incomparable(swept):
        found.append(
            f"ELBO and distortion of settings with another {' or '.join(different)}"
            " can't be compared."
        )
    elif "elbo" in known:
        found += _best(names, known["elbo"], "Best ELBO")
    if "coverage" in known and not any(field in swept for field in OF_THE_IMAGES):
        found += _best(names, known["coverage"], "Most coverage of held-out images")
    if not different and "distortion" in known:
        found += _reconstructs(names, known)
    if any(len(setting.finished) == 1 for setting in names) and len(names) > 1:
        found.append(
            "A setting with a single run has no standard error, so that a difference"
            " may be chance: several seeds would tell."
        )
    return found


def incomparable(swept: Sequence[str]) -> list[str]:
    """The swept fields for which ELBO and distortion can't be compared."""
    return [field for field in OF_THE_DATA if field in swept]


def best_setting(
    settings: Sequence[Setting], key: str, best: str = "largest"
) -> Setting | None:
    """The setting with the best mean of a number, if any has it."""
    sign = -1 if best == "smallest" else 1
    known = [(sign * m, s) for s in settings if (m := s.mean(key)) is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def told_apart(a: Setting, b: Setting, key: str) -> bool:
    """Whether two means differ by more than chance; without errors, at all."""
    mean, other = a.mean(key), b.mean(key)
    if mean is None or other is None:
        return False
    error, other_error = a.standard_error(key), b.standard_error(key)
    if error is None or other_error is None:
        return mean != other
    return abs(mean - other) > STANDARD_ERRORS * math.hypot(error, other_error)


def _best(names: Mapping[Setting, str], quantity: Quantity, title: str) -> list[str]:
    key = quantity.name
    best = best_setting(list(names), key, quantity.best)
    if best is None:
        return []
    unit = f" {quantity.unit}" if quantity.unit else ""
    text = f"{title}: {names[best]}, {amount(best, key)}{unit}"
    ceiling = best.mean(f"real_{key}")
    if ceiling is not None:
        text += f" (real images: {few_digits(ceiling)})"
    return [f"{text}{_ties(names, best, key)}."]


def _ties(names: Mapping[Setting, str], best: Setting, key: str) -> str:
    """The settings that the best one can't be told apart from, nearest first."""
    most = best.mean(key)
    assert most is not None
    others = sorted(
        (abs(mean - most), i, setting)
        for i, setting in enumerate(names)
        if setting is not best
        and (mean := setting.mean(key)) is not None
        and not told_apart(best, setting, key)
    )
    if not others:
        return ""
    named = [f"{names[s]} ({amount(s, key)})" for _, _, s in others[:MOST_NAMED]]
    if len(others) > MOST_NAMED:
        named.append(f"{len(others) - MOST_NAMED} more")
    return f"; {_listed(named)} cannot be told apart from it"


def _listed(texts: Sequence[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


def _reconstructs(
    names: Mapping[Setting, str], known: Mapping[str, Quantity]
) -> list[str]:
    """What loses least in a reconstruction, and whether its draws are good as well."""
    settings = list(names)
    best = best_setting(settings, "distortion", "smallest")
    if best is None or len(settings) < 2:
        return []
    text = f"Best reconstruction: {names[best]}, distortion"
    text += f" {amount(best, 'distortion')} nats{_ties(names, best, 'distortion')}"
    widest = best_setting(settings, "coverage") if "coverage" in known else None
    own = best.mean("coverage")
    if widest is None or own is None or not told_apart(best, widest, "coverage"):
        return [f"{text}."]
    most = widest.mean("coverage")
    assert most is not None
    verb = "cannot generate" if own < FEW * most else "generates less well"
    return [
        f"{text}. {names[best]} {verb}: its draws from the prior cover"
        f" {amount(best, 'coverage')}, against {amount(widest, 'coverage')} of"
        f" {names[widest]}."
    ]
