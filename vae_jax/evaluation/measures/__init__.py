"""Measures of a trained model: each is its computation and the meaning of its numbers.

A new one is a file like these, a line in `BY_NAME`, and a test; the table on the
terminal, the report, the docs' tables and the list of keys follow from its quantities.
"""

from collections.abc import Callable, Iterable, Mapping

from vae_jax.errors import choose
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.measures import (
    annealing,
    classification,
    codebook,
    codes,
    conditional,
    disentanglement,
    likelihood,
    misleading,
    regularity,
)
from vae_jax.evaluation.measures.base import Effort, Measure, Numbers
from vae_jax.quantities import Quantity, keys_of
from vae_jax.trained import Trained
from vae_jax.types import Key

BY_NAME: dict[str, Measure] = {
    "likelihood": likelihood.MEASURE,
    "codes": codes.MEASURE,
    "regularity": regularity.MEASURE,
    "conditional": conditional.MEASURE,
    "codebook": codebook.MEASURE,
    "disentanglement": disentanglement.MEASURE,
    "classification": classification.MEASURE,
    "misleading": misleading.MEASURE,
    "annealing": annealing.MEASURE,
}
DEFAULT = Effort()


def selected(names: Iterable[str]) -> dict[str, Measure]:
    """The measures of these names, in the order of `BY_NAME`.

    Args:
        names: keys of `BY_NAME`; an entry may hold several with commas between them,
            as a flag of a program does.

    Raises:
        ConfigError: there is no such measure; says the nearest name.
    """
    asked = [name.strip() for text in names for name in text.split(",")]
    for name in asked:
        choose(BY_NAME, "eval.measures", name)
    return {name: measure for name, measure in BY_NAME.items() if name in asked}


def measure(
    names: Iterable[str],
    trained: Trained,
    data: Data,
    key: Key,
    effort: Effort = DEFAULT,
    on_undefined: Callable[[str, str], None] | None = None,
    on_start: Callable[[str], None] | None = None,
) -> Numbers:
    """The numbers of several measures.

    Args:
        names: see `selected`.
        trained: a model with its parameters.
        data: what it was trained on, and what it is measured on.
        key: random key, the root of the streams that measures take.
        effort: how much to compute.
        on_undefined: called with the name of a measure that is not defined for this
            model and these data, and the reason.
        on_start: called with the name of each measure when it begins.

    Returns:
        A number for every key of the measures' quantities, None where not defined.
    """
    numbers: Numbers = {}
    for name, entry in selected(names).items():
        if on_start is not None:
            on_start(name)
        numbers |= dict.fromkeys(keys_of(entry.quantities))
        if reason := entry.why_not(trained, data):
            if on_undefined is not None:
                on_undefined(name, reason)
            continue
        numbers |= entry.run(trained, data, key, effort)
    return numbers


def quantities(measures: Mapping[str, Measure] = BY_NAME) -> list[Quantity]:
    """What all numbers of some measures mean."""
    return [quantity for entry in measures.values() for quantity in entry.quantities]
