"""The charts of a comparison: a number against the settings, as SVG."""

import dataclasses
import itertools
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from vae_jax.as_text import few_digits
from vae_jax.quantities import Quantity, is_reference
from vae_jax.report import axes, svg
from vae_jax.report.arrangement import Layout
from vae_jax.report.axes import Axis
from vae_jax.report.compare import Setting, amount

WIDTH, HEIGHT = 380.0, 185.0  # of a chart; of its axes
PANEL = 120.0  # height of the axes where there are several
TOP, RIGHT = 14.0, 14.0
LINE = 18.0  # height of a line of text
LONG_TICK = 22  # letters
MAX_WRITTEN = 9  # values beyond the axis, their errors counted, that are written there
SLANT = math.radians(35)  # of ticks that do not fit side by side


@dataclasses.dataclass(frozen=True)
class _Panel:
    """One pair of axes of a chart, and what is drawn there."""

    chart: ET.Element
    x: Axis
    y: Axis
    layout: Layout
    quantity: Quantity
    names: Mapping[Setting, str]
    far: dict[tuple[float, float], list[float]]  # values beyond the axis, by place


def against_setting(
    quantity: Quantity, layout: Layout, names: Mapping[Setting, str]
) -> ET.Element:
    """Draws a number against the swept values, with standard errors over seeds.

    Args:
        quantity: the quantity to draw, with one or several keys of results.json.
        layout: how the settings are arranged.
        names: name of each setting.

    Returns:
        The chart, an `svg` element.
    """
    keys = list(quantity.lines)
    own = [key for key in keys if not is_reference(key)]
    # Several sources and several values of a second field: a panel for each source.
    several = len(own) > 1 and not layout.is_single
    panels = [[key] for key in own] if several else [keys]
    turned = sum(map(svg.width_of, layout.ticks)) > 0.75 * WIDTH
    ticks = [svg.shortened(tick, LONG_TICK) for tick in layout.ticks]
    longest = max(map(svg.width_of, ticks), default=0.0)
    entries = _legend([key for panel in panels for key in panel], layout, quantity)
    top = TOP + LINE * several
    panel_height = top + (PANEL if several else HEIGHT)
    height = len(panels) * panel_height + 2 * LINE
    height += longest * math.sin(SLANT) if turned else 0.0
    whole = height + (LINE * len(entries) + 4) * (len(entries) > 1)
    chart = svg.new(WIDTH, whole, f"{quantity.title} of each setting")
    for i, drawn in enumerate(panels):
        bottom = (i + 1) * panel_height
        values = _values(layout, drawn)
        ends = (bottom, i * panel_height + top)
        if quantity.scale == "linear":
            y = axes.cut(values, *ends)
        else:
            y = axes.numeric(values, *ends, quantity.scale)
        x = Axis(left_of(y), WIDTH - RIGHT, -0.5, len(layout.ticks) - 0.5)
        frame(chart, x, y, (bottom, quantity.label))
        if several:
            line = quantity.lines[drawn[0]]
            svg.add_text(chart, line, x.start, i * panel_height + top - 6)
        panel = _Panel(chart, x, y, layout, quantity, names, far={})
        _draw_lines(panel, drawn)
        if sum(map(y.is_beyond, set(values))) <= MAX_WRITTEN:
            _write_far(panel)
    _draw_ticks(chart, x, bottom, ticks, turned)
    middle = (x.start + x.stop) / 2
    svg.add_text(chart, layout.label, middle, height - 4, "middle")
    if len(entries) > 1:
        for i, (name, series) in enumerate(entries):
            _draw_entry(chart, name, series, (x.start, height + LINE * (i + 0.7)))
    return chart


def _values(layout: Layout, keys: Sequence[str]) -> list[float]:
    """All that must have a place: means, and the ends of their errors."""
    found = []
    for setting, key in itertools.product(layout.settings, keys):
        if (mean := setting.mean(key)) is not None:
            error = setting.standard_error(key) or 0.0
            # A bar must not ask for a place below 0 where the values are above it.
            low = mean - error if mean - error > 0 or mean <= 0 else mean
            found += [low, mean, mean + error]
    return found


def left_of(y: Axis) -> float:
    """Where a chart begins, right of the label and the numbers of its y axis."""
    return 30 + max((svg.width_of(text) for _, text in y.texts), default=0.0)


def frame(chart: ET.Element, x: Axis, y: Axis, foot: tuple[float, str]) -> None:
    """Draws lines and numbers of the y axis, and the line below everything.

    Args:
        chart: what it is drawn into.
        x: the other axis.
        y: the axis.
        foot: the place of that line, and the label of the y axis.
    """
    bottom, label = foot
    left, right = x.first, WIDTH - RIGHT
    for tick, text in y.texts:
        svg.add_line(chart, (left, y(tick)), (right, y(tick)), "grid")
        svg.add_text(chart, text, left - 6, y(tick) + 4.5, "end")
    svg.add_line(chart, (left, bottom), (right, bottom), "axis")
    if x.edge is not None:
        for place in (x.edge - 3, x.edge + 3):
            svg.add_line(
                chart, (place - 3, bottom + 6), (place + 3, bottom - 6), "axis"
            )
    if y.edge is not None:
        for place in (y.edge - 3, y.edge + 3):
            svg.add_line(chart, (left - 6, place + 3), (left + 6, place - 3), "axis")
    at = f"translate(13 {(y.start + y.stop) / 2:.1f}) rotate(-90)"
    svg.add(chart, "text", label, transform=at, text_anchor="middle")


def join(
    chart: ET.Element,
    places: Sequence[tuple[float, float]],
    far: Sequence[bool],
    color: str,
) -> None:
    """Joins neighbours, by dots where one of them stands beyond a cut axis."""
    for i in range(1, len(places)):
        kind = " far" if far[i - 1] or far[i] else ""
        svg.add_path(chart, places[i - 1 : i + 1], f"line {color}{kind}")


def _draw_ticks(
    chart: ET.Element, x: Axis, bottom: float, ticks: Sequence[str], turned: bool
) -> None:
    turn = f" rotate({-math.degrees(SLANT):g})" if turned else ""
    anchor = "end" if turned else "middle"
    for i, text in enumerate(ticks):
        place = f"translate({x(i):.1f} {bottom + 17:.1f}){turn}"
        svg.add(chart, "text", text, transform=place, text_anchor=anchor)


def _draw_lines(panel: _Panel, keys: Sequence[str]) -> None:
    """Draws each key of each line of the layout."""
    number = itertools.count()
    for key in keys:
        for line in panel.layout.lines.values():
            if is_reference(key):  # of no model: the same in each line
                _draw_reference(panel, key, line)
                break
            _draw_line(panel, key, line, next(number))


def _draw_line(
    panel: _Panel, key: str, line: Mapping[int, Setting], series: int
) -> None:
    quantity, color = panel.quantity, f"s{series % svg.NUM_SERIES}"
    what = ", ".join(filter(None, [quantity.title, quantity.lines[key]]))
    marks, far = {}, []
    for tick, setting in line.items():
        mean, error = setting.mean(key), setting.standard_error(key) or 0.0
        if mean is None:
            continue
        place = (panel.x(tick), panel.y(mean))
        text = f"{amount(setting, key)} {quantity.unit}".rstrip()
        marks[place] = f"{panel.names[setting]}\n{what}: {text}"
        far.append(panel.y.is_beyond(mean))
        if far[-1]:
            panel.far.setdefault(place, []).append(mean)
        elif error:
            _draw_error(panel, place, (mean - error, mean + error), color)
    if panel.layout.ordered:
        join(panel.chart, list(marks), far, color)
    for place, tip in marks.items():
        svg.add_mark(panel.chart, place, series, tip)


def _write_far(panel: _Panel) -> None:
    """Writes the values beyond the axis, several at one place from the least on.

    To the right of a mark, or to its left at the right edge.
    """
    for place, values in panel.far.items():
        ends = dict.fromkeys(few_digits(value) for value in (min(values), max(values)))
        text = " to ".join(ends)
        fits = place[0] + 9 + svg.width_of(text) < WIDTH
        x, anchor = (place[0] + 9, "start") if fits else (place[0] - 9, "end")
        svg.add_text(panel.chart, text, x, place[1] + 4, anchor)


def _draw_error(
    panel: _Panel, place: tuple[float, float], values: tuple[float, float], color: str
) -> None:
    """A bar of one standard error down and up, as far as the axis goes."""
    (x, _), (low, high), y = place, values, panel.y
    bottom = y.start if y.even is math.log10 and low <= 0 else min(y(low), y.start)
    for ends in (
        ((x, bottom), (x, y(high))),
        ((x - 4, bottom), (x + 4, bottom)),
        ((x - 4, y(high)), (x + 4, y(high))),
    ):
        svg.add_line(panel.chart, *ends, f"error {color}")


def _draw_reference(panel: _Panel, key: str, line: Mapping[int, Setting]) -> None:
    """What a model can reach at best, as a dashed line over the whole axis."""
    x, y = panel.x, panel.y
    known = [(x(t), y(m)) for t, s in line.items() if (m := s.mean(key)) is not None]
    if known:
        ends = [(x.start, known[0][1]), *known, (x.stop, known[-1][1])]
        svg.add_path(panel.chart, ends, "line reference")


def _legend(
    keys: Sequence[str], layout: Layout, quantity: Quantity
) -> list[tuple[str, int | None]]:
    """Name and number of each series, references last with none."""
    own = [key for key in keys if not is_reference(key)]
    names = [quantity.lines[key] for key in own] if layout.is_single else layout.lines
    entries: list[tuple[str, int | None]] = [(name, i) for i, name in enumerate(names)]
    entries += [(quantity.lines[key], None) for key in keys if is_reference(key)]
    return entries


def _draw_entry(
    chart: ET.Element, name: str, series: int | None, place: tuple[float, float]
) -> None:
    """A line of the legend."""
    left, y = place
    color = "reference" if series is None else f"s{series % svg.NUM_SERIES}"
    svg.add_path(chart, [(left, y), (left + 26, y)], f"line {color}")
    if series is not None:
        svg.add_mark(chart, (left + 13, y), series, name)
    svg.add_text(chart, svg.shortened(name, 44), left + 34, y + 4.5)
