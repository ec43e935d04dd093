"""Axes of a chart: which place a value has, and which values are written beside it."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal

from matplotlib.ticker import MaxNLocator

from vae_jax.as_text import few_digits

Scale = Literal["linear", "log", "share", "count"]

LOG_RATIO = 10  # a logarithmic axis with a shorter range has hardly any ticks
MARGIN = 0.07  # of the axis, on either side of the values
CUT_WIDTH = 36.0  # of the strip for values beyond the axis
LARGEST_GAP = 0.58  # of the axis, above which it is cut there


@dataclasses.dataclass(frozen=True)
class Axis:
    """From `low` at the place `start` to `high` at `stop`, even on a scale."""

    start: float
    stop: float
    low: float  # on the scale, as `high`
    high: float
    ticks: Sequence[float] = ()
    even: Callable[[float], float] = float  # value -> on the scale
    beyond: float | None = None  # where values above the axis stand, if it is cut

    def __call__(self, value: float) -> float:
        """The place of a value."""
        if self.is_beyond(value):
            assert self.beyond is not None
            return self.beyond
        share = (self.even(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def is_beyond(self, value: float) -> bool:
        """Whether a value lies outside of an axis that is cut."""
        if self.beyond is None:
            return False
        return not self.low <= self.even(value) <= self.high

    @property
    def edge(self) -> float | None:
        """Where the axis is cut."""
        if (beyond := self.beyond) is None:
            return None
        return min(self.start, self.stop, key=lambda end: abs(end - beyond))

    @property
    def first(self) -> float:
        """Where it starts, with what stands beyond it."""
        if self.beyond is None or self.edge != self.start:
            return self.start
        return 2 * self.beyond - self.start

    @property
    def texts(self) -> list[tuple[float, str]]:
        """Value and text of each tick."""
        return [(tick, few_digits(tick, 6)) for tick in self.ticks]


def numeric(
    values: Sequence[float], start: float, stop: float, scale: Scale = "linear"
) -> Axis:
    """An axis on which all values have a place.

    Args:
        values: finite numbers.
        start: place of the low end.
        stop: place of the high end.
        scale: a share goes from 0 to 1, and a count begins at 0. A logarithm has a
            place for 0 and below by the inverse hyperbolic sine, which is nearly a
            logarithm above the smallest positive value; it is linear where the values
            span less than a factor of 10.
    """
    if scale == "share":
        low, high = min([0.0, *values]), max([1.0, *values])
        return _even(low, high, start, stop, margin=0.04)
    if scale == "count":
        return _even(0.0, max([1.0, *values]), start, stop, margin=0.04)
    positive = [value for value in values if value > 0]
    if scale == "log" and positive:
        if len(positive) == len(values):
            if max(positive) > LOG_RATIO * min(positive):
                return _bent(values, start, stop, math.log10)
        else:
            smallest = min(positive)
            return _bent(
                values, start, stop, lambda value: math.asinh(value / smallest)
            )
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:  # all alike: a zoom would blow up what differs by rounding
        low, high = min(0.0, 1.25 * low), max(0.0, 1.25 * high) or 1.0
    return _even(low, high, start, stop, MARGIN)


def cut(values: Sequence[float], start: float, stop: float) -> Axis:
    """A linear axis that leaves out few values which lie far from all others.

    The rate at weight 0 is an example: on a common axis it would squeeze all others
    into a corner. An axis is cut in a gap between neighbours that takes more than 0.58
    of it, if at least two values, and half of all, lie on one side of that gap.
    What lies on the other side stands at `beyond`.

    Args:
        values: finite numbers.
        start: place of the low end.
        stop: place of the high end.
    """
    ordered = sorted(set(values))
    gaps = [b - a for a, b in itertools.pairwise(ordered)]
    if not gaps or max(gaps) <= LARGEST_GAP * (ordered[-1] - ordered[0]):
        return numeric(values, start, stop)
    edge = ordered[gaps.index(max(gaps))]
    below = [value for value in values if value <= edge]
    above = [value for value in values if value > edge]
    many = below if len(below) >= len(above) else above
    if len(set(many)) < 2:
        return numeric(values, start, stop)
    width = math.copysign(CUT_WIDTH, stop - start)
    if many is below:
        near = numeric(below, start, stop - width)
        return dataclasses.replace(near, beyond=stop - width / 2)
    near = numeric(above, start + width, stop)
    return dataclasses.replace(near, beyond=start + width / 2)


def _even(low: float, high: float, start: float, stop: float, margin: float) -> Axis:
    room = margin * (high - low)
    low, high = low - room, high + room
    found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    ticks = [float(tick) for tick in found if low <= tick <= high]
    return Axis(start, stop, low, high, ticks)


def _bent(
    values: Sequence[float], start: float, stop: float, even: Callable[[float], float]
) -> Axis:
    placed = [even(value) for value in values]
    room = MARGIN * (max(placed) - min(placed))
    low, high = min(placed) - room, max(placed) + room
    smallest = min(value for value in values if value > 0)
    first, last = (math.floor(math.log10(v)) for v in (smallest, max(values)))
    step = math.ceil((last - first + 1) / 5)
    digits = (1, 2, 5) if last - first < 2 else (1,)
    ticks = [d * 10.0**e for e in range(first, last + 1, step) for d in digits]
    if min(values) <= 0:
        ticks = [0.0, *(tick for tick in ticks if tick >= smallest / 2)]
    ticks = [tick for tick in ticks if low <= even(tick) <= high]
    return Axis(start, stop, low, high, ticks, even)
