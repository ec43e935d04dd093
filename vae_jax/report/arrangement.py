"""Where the settings of a comparison stand in its charts, and how many are drawn."""

import dataclasses
from collections.abc import Mapping, Sequence

from vae_jax.as_text import exact
from vae_jax.report.compare import (
    Setting,
    is_numeric,
    is_short,
    setting_names,
    short_names,
)

MAX_TICKS = 16  # more are not read on one axis
MAX_LINES = 8  # as many as there are colours


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where each setting stands in a chart."""

    label: str  # of the x axis
    ticks: Sequence[str]
    ordered: bool  # whether it makes sense to join neighbours
    lines: Mapping[str, Mapping[int, Setting]]  # name -> tick -> setting

    @property
    def is_single(self) -> bool:
        """Whether there is one line only."""
        return len(self.lines) == 1

    @property
    def settings(self) -> list[Setting]:
        """All settings, line by line."""
        return [setting for line in self.lines.values() for setting in line.values()]


def arrange(groups: Sequence[Setting], swept: Sequence[str]) -> Layout:
    """Puts the first swept field on the x axis, a line for each value of the others.

    Values stand at equal distances: weights such as 0, 0.1, 1, 10 then have the look of
    a logarithmic axis, with a place for 0. Where the values make no lines (no field, or
    runs that differ in this and that), every setting has a tick of its own.

    Args:
        groups: all settings, in the order in which they shall stand.
        swept: fields that differ between them.

    Returns:
        The layout.
    """
    if swept:
        first, *others = swept
        ticks = dict.fromkeys(exact(group.values[first]) for group in groups)
        place = {tick: i for i, tick in enumerate(ticks)}
        shorts = short_names(swept)
        lines: dict[str, dict[int, Setting]] = {}
        for group in groups:
            name = ", ".join(f"{shorts[f]} {exact(group.values[f])}" for f in others)
            lines.setdefault(name, {})[place[exact(group.values[first])]] = group
        if all(len(line) > 1 for line in lines.values()):
            ordered = is_numeric(group.values[first] for group in groups)
            return Layout(shorts[first], list(ticks), ordered, lines)
    label, names = "", setting_names(groups, swept)
    if is_short(swept):  # the names of the fields stand once, below the axis
        label = ", ".join(short_names(swept).values())
        names = [", ".join(map(exact, group.values.values())) for group in groups]
    return Layout(label, names, False, {"": dict(enumerate(groups))})


def thinned(layout: Layout, keep: Setting | None = None) -> tuple[Layout, str]:
    """A layout with no more ticks and lines than a chart can show.

    Args:
        layout: where all settings stand.
        keep: a setting that stays.

    Returns:
        The layout, with ticks and lines that are spread evenly over all of them, and a
        sentence that says what was left out; empty if nothing was.
    """
    names = list(layout.lines)
    line_kept, tick_kept = 0, 0
    for i, line in enumerate(layout.lines.values()):
        for tick, setting in line.items():
            if setting is keep:
                line_kept, tick_kept = i, tick
    ticks = spread(len(layout.ticks), MAX_TICKS, tick_kept)
    chosen = [names[i] for i in spread(len(names), MAX_LINES, line_kept)]
    lines = {
        name: {
            place: layout.lines[name][tick]
            for place, tick in enumerate(ticks)
            if tick in layout.lines[name]
        }
        for name in chosen
    }
    few = Layout(
        layout.label,
        [layout.ticks[tick] for tick in ticks],
        layout.ordered,
        {name: line for name, line in lines.items() if line},
    )
    shown, total = len(few.settings), len(layout.settings)
    if shown == total:
        return layout, ""
    return few, (
        f"{shown:,} of {total:,} settings are drawn here, spread evenly; summary.csv"
        " has all."
    )


def spread(total: int, limit: int, keep: int = 0) -> list[int]:
    """Whole numbers below a total, evenly from the first to the last.

    Args:
        total: how many there are.
        limit: how many are taken at most, 2 or more.
        keep: one of them that is taken in any case, in place of its neighbour.
    """
    if total <= limit:
        return list(range(total))
    found = [i * (total - 1) // (limit - 1) for i in range(limit)]
    nearest = min(range(limit), key=lambda i: abs(found[i] - keep))
    found[nearest] = keep
    return found
