"""The figures of a comparison: results grouped by setting in, one PNG each out."""

import dataclasses
import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from vae_jax.as_text import exact
from vae_jax.paths import PathLike
from vae_jax.quantities import Quantity, is_reference
from vae_jax.report import style
from vae_jax.report.compare import (
    Setting,
    is_numeric,
    is_short,
    setting_names,
    short_names,
)

# Neighbours in this order differ in hue and in lightness.
COLORS = tuple(style.PALETTE[i] for i in (0, 6, 4, 2, 5, 8, 1, 7, 9))
MARKERS = "osD^vPX*<"
NARROW, HEIGHT = 5.2, 3.7  # inches: two such figures stand side by side
LOG_RATIO = 10  # a logarithmic axis with a shorter range has hardly any ticks
LONG_TICKS = 34  # characters of all ticks together, above which they are turned
LONG_TICKS_HEIGHT = 1.2  # inches for those
TICK_WIDTH = 20  # characters of a line of such a tick
# Points from a mark to its text: where it is tried, in turn.
OFFSETS = [(7, 6), (-7, -15), (7, -15), (-7, 6), (0, 10), (0, -20), (11, -4), (-11, -4)]
MARK = 9.0  # pixels from the middle of a mark to its edge


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where each setting stands in a figure."""

    label: str  # of the x axis
    ticks: Sequence[str]
    ordered: bool  # whether it makes sense to join neighbours
    lines: Mapping[str, Mapping[int, Setting]]  # name -> tick -> setting

    @property
    def is_single(self) -> bool:
        """Whether there is one line only."""
        return len(self.lines) == 1


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
        ticks = list(dict.fromkeys(exact(group.values[first]) for group in groups))
        shorts = short_names(swept)
        lines: dict[str, dict[int, Setting]] = {}
        for group in groups:
            name = ", ".join(f"{shorts[f]} {exact(group.values[f])}" for f in others)
            lines.setdefault(name, {})[ticks.index(exact(group.values[first]))] = group
        if all(len(line) > 1 for line in lines.values()):
            ordered = is_numeric(group.values[first] for group in groups)
            return Layout(shorts[first], ticks, ordered, lines)
    label, ticks = "", setting_names(groups, swept)
    if is_short(swept):  # the names of the fields stand once, below the axis
        label = ", ".join(short_names(swept).values())
        ticks = [", ".join(map(exact, group.values.values())) for group in groups]
    return Layout(label, ticks, False, {"": dict(enumerate(groups))})


def against_setting(quantity: Quantity, layout: Layout, path: PathLike) -> None:
    """Draws a number against the swept values, with standard errors over seeds.

    Args:
        quantity: the quantity to draw, with one or several keys of results.json.
        layout: how the settings are arranged.
        path: the PNG file to write.
    """
    keys = list(quantity.lines)
    own = [key for key in keys if not is_reference(key)]
    # Several sources and several values of a second field: a panel for each source.
    panels = [keys] if layout.is_single or len(own) < 2 else [[key] for key in own]
    height = HEIGHT + 2.6 * (len(panels) - 1)
    figure = style.new_figure(height + LONG_TICKS_HEIGHT * _are_long(layout.ticks))
    figure.set_figwidth(NARROW)
    all_axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, drawn in zip(all_axes, panels, strict=True):
        title = quantity.lines[drawn[0]] if len(panels) > 1 else ""
        is_last = axes is all_axes[-1]
        style.label_axes(axes, title, layout.label if is_last else "", quantity.label)
        number = itertools.count()
        for key, line in itertools.product(drawn, layout.lines):
            if is_reference(key) and line != next(iter(layout.lines)):
                continue  # of no model: the same in each line
            _draw_line(axes, key, quantity, layout, line, number)
        _scale(
            axes,
            quantity,
            [s for line in layout.lines.values() for s in line.values()],
            drawn,
        )
        axes.set_xlim(-0.5, len(layout.ticks) - 0.5)
        _draw_ticks(axes, layout.ticks)
    _draw_legend(figure, all_axes[0], quantity)
    style.save_figure(figure, path)


def _draw_line(
    axes: Axes,
    key: str,
    quantity: Quantity,
    layout: Layout,
    line: str,
    number: "itertools.count[int]",
) -> None:
    settings = layout.lines[line]
    means, errors = _numbers(list(settings.values()), key)
    label = quantity.lines[key] if layout.is_single or is_reference(key) else line
    if is_reference(key):
        axes.plot([*settings], means, "--", color="0.45", lw=1.6, label=label)
        return
    i = next(number)
    axes.errorbar(
        [*settings],
        means,
        yerr=errors,
        color=COLORS[i % len(COLORS)],
        marker=MARKERS[i % len(MARKERS)],
        linestyle="-" if layout.ordered else "none",
        markersize=6,
        capsize=4,
        label=label,
    )


def _numbers(settings: Sequence[Setting], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard errors, NaN where there is none."""
    pairs = [(setting.mean(key), setting.standard_error(key)) for setting in settings]
    means, errors = np.array(pairs, float).reshape(-1, 2).T  # None becomes NaN
    return means, errors


def _scale(
    axes: Axes, quantity: Quantity, settings: Sequence[Setting], keys: Sequence[str]
) -> None:
    if quantity.scale == "share":
        axes.set_ylim(-0.04, 1.04)
    if quantity.scale != "log":
        return
    values = np.concatenate([_numbers(settings, key)[0] for key in keys])
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if not len(positive):
        return
    if len(positive) < len(values):
        # An autoencoder's variance is 0, which a logarithm has no place for.
        axes.set_yscale("symlog", linthresh=positive.min())
    elif positive.max() > LOG_RATIO * positive.min():
        axes.set_yscale("log")


def _draw_ticks(axes: Axes, ticks: Sequence[str]) -> None:
    if not _are_long(ticks):
        axes.set_xticks(range(len(ticks)), ticks)
        return
    wrapped = [textwrap.fill(tick, TICK_WIDTH) for tick in ticks]
    axes.set_xticks(
        range(len(ticks)), wrapped, rotation=35, ha="right", rotation_mode="anchor"
    )


def _are_long(ticks: Sequence[str]) -> bool:
    """Whether ticks are turned, because they do not fit side by side."""
    return sum(map(len, ticks)) > LONG_TICKS


def _draw_legend(figure: Figure, axes: Axes, quantity: Quantity) -> None:
    """Below the panels, references last; none for a single line."""
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if len(entries) < 2:
        return
    references = {name for key, name in quantity.lines.items() if is_reference(key)}
    labels = sorted(entries, key=lambda label: label in references)
    figure.legend(
        [entries[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=2 if max(map(len, labels)) < 30 else 1,
        fontsize=style.TEXT,
        frameon=False,
    )


def rate_distortion(layout: Layout, path: PathLike) -> None:
    """Draws what a code costs against what its reconstruction loses.

    Grey lines join points of equal ELBO = -(rate + distortion). Source: Alemi et al.
    2018, "Fixing a broken ELBO".

    Args:
        layout: how the settings are arranged; those without a rate (autoencoders)
            are left out.
        path: the PNG file to write.
    """
    figure = style.new_figure(4.6)
    axes = figure.add_subplot()
    style.label_axes(axes, "", "Rate, nats", "Distortion, nats")
    points: list[tuple[float, float, str]] = []
    for i, (name, line) in enumerate(layout.lines.items()):
        rates, rate_errors = _numbers(list(line.values()), "rate")
        distortions, errors = _numbers(list(line.values()), "distortion")
        axes.errorbar(
            rates,
            distortions,
            xerr=rate_errors,
            yerr=errors,
            color=COLORS[i % len(COLORS)],
            marker=MARKERS[i % len(MARKERS)],
            linestyle="-" if layout.ordered else "none",
            markersize=7,
            capsize=4,
            label=name,
            zorder=3,
        )
        texts = [layout.ticks[tick] for tick in line]
        points += [
            point
            for point in zip(rates, distortions, texts, strict=True)
            if math.isfinite(point[0] + point[1])
        ]
    axes.margins(0.1)
    _draw_equal_elbo(axes)
    if not layout.is_single:
        axes.legend(fontsize=style.TEXT, frameon=False)
    _place_labels(figure, axes, points)
    style.save_figure(figure, path)


def _draw_equal_elbo(axes: Axes) -> None:
    x, y = (np.linspace(*limits, 50) for limits in (axes.get_xlim(), axes.get_ylim()))
    elbo = -(x[None, :] + y[:, None])
    levels = MaxNLocator(7).tick_values(elbo.min(), elbo.max())
    lines = axes.contour(
        x, y, elbo, levels, colors="0.8", linewidths=1, linestyles="-", zorder=1
    )
    axes.clabel(lines, fmt="ELBO %g", fontsize=9, colors="0.5")


def _place_labels(
    figure: Figure, axes: Axes, points: Sequence[tuple[float, float, str]]
) -> None:
    """Writes each text beside its point, at the first place that is still free."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    marks = [axes.transData.transform(point[:2]) for point in points]
    taken = [Bbox([center - MARK, center + MARK]) for center in marks]
    for x, y, text in points:
        label = axes.annotate(
            text,
            (x, y),
            OFFSETS[0],
            textcoords="offset points",
            fontsize=style.TEXT,
            zorder=4,
        )
        style.outline(label)
        label.set_in_layout(False)  # else a long text would squeeze the axes
        for offset in OFFSETS:
            side = ("center", "left", "right")[int(np.sign(offset[0]))]
            label.set(position=offset, horizontalalignment=side)
            box = label.get_window_extent(canvas.get_renderer())
            fits = figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
            if fits and not box.count_overlaps(taken):
                break
        taken.append(box)
