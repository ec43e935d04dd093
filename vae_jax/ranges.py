"""Ranges of arguments, and the one line for a number outside of its range."""

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

from vae_jax.errors import ConfigError

MAX_LAYERS = 200  # each is traced and compiled on its own


class Range(NamedTuple):
    """A set of values and how a message calls it."""

    text: str  # follows "must be"
    contains: Callable[[Any], bool]


def is_number(value: object) -> bool:
    """Whether a value is a finite real number, other than True and False."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    return isinstance(value, numbers.Integral) or math.isfinite(value)


def is_count(value: object) -> bool:
    """Whether a value is a whole number above 0."""
    return is_number(value) and isinstance(value, numbers.Integral) and int(value) > 0


COUNT = Range("a whole number above 0", is_count)
COUNT_OR_0 = Range(
    "0 or a whole number above 0",
    lambda v: is_count(v) or (is_number(v) and v == 0),
)
LAYERS = Range(
    f"a whole number above 0, at most {MAX_LAYERS} (each layer is compiled on its own)",
    lambda v: is_count(v) and v <= MAX_LAYERS,
)
SEED = Range(  # JAX would drop the higher bits
    "a whole number from 0, below 2**32",
    lambda v: (is_count(v) or (is_number(v) and v == 0)) and v < 2**32,
)
POSITIVE = Range("a number above 0", lambda v: is_number(v) and v > 0)
NOT_NEGATIVE = Range("0 or a number above 0", lambda v: is_number(v) and v >= 0)
FRACTION = Range("at least 0 and below 1", lambda v: is_number(v) and 0 <= v < 1)
SHARE = Range("between 0 and 1", lambda v: is_number(v) and 0 <= v <= 1)
FINITE = Range("a finite number", is_number)


def require(valid: Range, **values: object) -> None:
    """Raises unless each value lies in a range.

    Args:
        valid: the range.
        **values: argument's name -> its value.

    Raises:
        ConfigError: names the argument, its value and what would be valid.
    """
    for name, value in values.items():
        if not valid.contains(value):
            raise ConfigError(f"{name}={value!r}: must be {valid.text}")


def require_widths(*, least: int = 0, most: int = MAX_LAYERS, **values: object) -> None:
    """Raises unless each value is a sequence of sizes, one for each layer.

    Args:
        least: how many layers there must be; without any, a network is linear.
        most: how many layers there may be.
        **values: argument's name -> its value.

    Raises:
        ConfigError: there are too few layers or too many, or a size is no whole number
            above 0.
    """
    for name, value in values.items():
        sizes = value if isinstance(value, tuple | list) else None
        if sizes is not None and len(sizes) > most:
            raise ConfigError(
                f"{name} has {len(sizes)} layers: each is compiled on its own, so there"
                f" may be at most {most}"
            )
        if sizes is None or len(sizes) < least or not all(map(is_count, sizes)):
            number = f"{least} or more " if least else ""
            raise ConfigError(
                f"{name}={value!r}: must be {number}whole numbers above 0"
            )
