"""What a measure is: a computation together with the meaning of its numbers."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, SupportsFloat, TypeVar

from vae_jax.evaluation.annealing import Annealing
from vae_jax.evaluation.chunks import Progress
from vae_jax.evaluation.data import Data
from vae_jax.quantities import Group, Quantity
from vae_jax.trained import Trained
from vae_jax.types import Key

Numbers = dict[str, float | None]
Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much to compute; the defaults are those of a run's end."""

    num_samples: int = 100  # K of the importance-weighted NLL, per example
    annealing: Annealing = Annealing()
    num_annealed: int = 50  # images that are annealed, and as many simulated ones
    progress: Progress | None = (
        None  # called with (examples done, all) by slow measures
    )


class Measure(NamedTuple):
    """One entry of `measures.BY_NAME`."""

    run: Callable[[Trained, Data, Key, Effort], Mapping[str, float | None]]
    """(model, data, key, effort) -> numbers by key; None for what is not defined.

    The key is the root key of the run, of which a measure takes streams of its own."""

    quantities: Sequence[Quantity]
    """What the numbers mean, key by key."""

    why_not: Callable[[Trained, Data], str | None]
    """Why nothing is defined for this model and these data ("needs ..."), or None."""


NOISE = Group(
    "Noise in the code",
    "Without the KL term the variance of q(z | x) shrinks towards 0 and the model"
    " becomes a plain autoencoder; with too much of it the code ignores the image.",
)


def always(trained: Trained, data: Data) -> None:
    """The `why_not` of a measure that every model has."""


def needs_heldout(least: int, data: Data) -> str | None:
    """Why codes and draws can't be compared with held-out examples, if they can't.

    Args:
        least: how many examples it takes in either split.
        data: what is measured on.
    """
    if data.measures_training:
        return "needs examples that the model was not trained on"
    sizes = len(data.train), len(data.heldout)
    if min(sizes) < least:
        return (
            f"needs {least} training and {least} held-out images, and there are"
            f" {sizes[0]} and {sizes[1]}"
        )
    return None


def finite(value: SupportsFloat | None) -> float | None:
    """A number for a JSON file, which has no NaN: one that is none says nothing."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def prefixed(prefix: str, numbers: Mapping[str, Value]) -> dict[str, Value]:
    """The numbers under keys that begin with a prefix of `quantities.SOURCES`."""
    return {prefix + name: value for name, value in numbers.items()}
