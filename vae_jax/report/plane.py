"""Rate against distortion: what a code costs, and what its reconstruction loses."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.ticker import MaxNLocator

from vae_jax.as_text import few_digits
from vae_jax.report import axes, svg
from vae_jax.report.arrangement import Layout
from vae_jax.report.axes import Axis
from vae_jax.report.charts import LINE, RIGHT, TOP, WIDTH, frame, join, left_of
from vae_jax.report.compare import Setting, amount

HEIGHT = 300.0
FOOT = HEIGHT - 2 * LINE - 4  # the line below everything
MAX_NAMED = 24  # of more points only the best is named; pointing at one names it
# From a mark to its text: where it is tried, in turn.
OFFSETS = [(9, -5), (9, 15), (-9, -5), (-9, 15), (0, -10), (0, 21), (12, 5), (-12, 5)]
OFFSETS += [(9, -18), (9, 28), (-9, -18), (-9, 28), (-9, -31), (-9, 41)]
ANCHORS = {-1: "end", 0: "middle", 1: "start"}
Box = tuple[float, float, float, float]  # left, top, right, bottom


class _Point(NamedTuple):
    setting: Setting
    text: str
    rate: float
    distortion: float


class _Plane(NamedTuple):
    chart: ET.Element
    x: Axis
    y: Axis

    def place(self, point: _Point) -> tuple[float, float]:
        return self.x(point.rate), self.y(point.distortion)


def rate_distortion(
    layout: Layout, names: Mapping[Setting, str], best: Setting | None
) -> ET.Element:
    """Draws what a code costs against what its reconstruction loses.

    Grey lines join points of equal ELBO = -(rate + distortion). Source: Alemi et al.
    2018, "Fixing a broken ELBO", arXiv:1711.00464. A rate far above all others, as that
    of weight 0, stands at the edge, so that it does not squeeze the others.

    Args:
        layout: how the settings are arranged; those without a rate (autoencoders) are
            left out, and there is one with both numbers.
        names: name of each setting.
        best: the setting with the best ELBO, which is marked.

    Returns:
        The chart, an `svg` element.
    """
    lines = [
        [
            _Point(setting, layout.ticks[tick], rate, distortion)
            for tick, setting in line.items()
            if (rate := setting.mean("rate")) is not None
            and (distortion := setting.mean("distortion")) is not None
        ]
        for line in layout.lines.values()
    ]
    points = [point for line in lines for point in line]
    legend = 0.0 if layout.is_single else LINE * len(lines) + 4
    chart = svg.new(WIDTH, HEIGHT + legend, "Distortion against rate of each setting")
    heights, rates = (_ends(points, key) for key in ("distortion", "rate"))
    below = min(heights) - 0.12 * (max(heights) - min(heights))  # room for a text
    y = axes.numeric([below, *heights], FOOT, TOP)
    x = axes.cut(rates, left_of(y), WIDTH - RIGHT)
    frame(chart, x, y, (FOOT, "Distortion, nats"))
    plane = _Plane(chart, x, y)
    _draw_rates(plane)
    taken: list[Box] = [(0, 0, x.first, FOOT)]  # the numbers of the y axis
    taken += [_around(plane.place(point)) for point in points]
    levels = _draw_equal_elbo(plane)
    for series, line in enumerate(lines):
        _draw_line(plane, line, series, layout.ordered)
    _draw_marks(plane, lines, names, best)
    _name_points(plane, points, best, taken)
    _name_levels(chart, levels, taken)
    if not layout.is_single:
        for i, name in enumerate(layout.lines):
            place = (x.first + 13, HEIGHT + LINE * (i + 0.5))
            svg.add_mark(chart, place, i, name)
            text = svg.shortened(name, 44)
            svg.add_text(chart, text, place[0] + 16, place[1] + 4.5)
    return chart


def _ends(points: Sequence[_Point], key: str) -> list[float]:
    """Means of a number, and the ends of their errors."""
    found = []
    for setting in (point.setting for point in points):
        mean, error = setting.mean(key), setting.standard_error(key) or 0.0
        assert mean is not None  # of a point
        found += [mean - error, mean, mean + error]
    return found


def _draw_rates(plane: _Plane) -> None:
    """Numbers and label of the x axis."""
    chart, x, _ = plane
    for tick, text in x.texts:
        svg.add_text(chart, text, x(tick), FOOT + LINE, "middle")
    middle = (x.first + WIDTH - RIGHT) / 2
    svg.add_text(chart, "Rate, nats", middle, FOOT + 2 * LINE, "middle")


def _draw_line(
    plane: _Plane, line: Sequence[_Point], series: int, ordered: bool
) -> None:
    """Errors of the points, and what joins them where their order means something."""
    chart, x, y = plane
    color = f"s{series % svg.NUM_SERIES}"
    for point in line:
        px, py = plane.place(point)
        if not x.is_beyond(point.rate):
            wide = point.setting.standard_error("rate") or 0.0
            ends = [(x(point.rate + sign * wide), py) for sign in (-1, 1)]
            svg.add_line(chart, ends[0], ends[1], f"error {color}")
        high = point.setting.standard_error("distortion") or 0.0
        ends = [(px, y(point.distortion + sign * high)) for sign in (-1, 1)]
        svg.add_line(chart, ends[0], ends[1], f"error {color}")
    if ordered:
        far = [x.is_beyond(point.rate) for point in line]
        join(chart, list(map(plane.place, line)), far, color)


def _draw_marks(
    plane: _Plane,
    lines: Sequence[Sequence[_Point]],
    names: Mapping[Setting, str],
    best: Setting | None,
) -> None:
    titles = {"elbo": "ELBO", "rate": "rate", "distortion": "distortion"}
    for series, line in enumerate(lines):
        for point in line:
            setting, (x, y) = point.setting, plane.place(point)
            if setting is best:
                svg.add(plane.chart, "circle", cx=x, cy=y, r=9, class_="best")
            tip = [names[setting]]
            tip += [f"{titles[k]}: {amount(setting, k)} nats" for k in titles]
            svg.add_mark(plane.chart, (x, y), series, "\n".join(tip))


def _draw_equal_elbo(
    plane: _Plane,
) -> list[tuple[float, list[tuple[float, float]]]]:
    """Draws lines of equal ELBO; returns it with the ends of each."""
    chart, x, y = plane
    low, high = x.low + y.low, x.high + y.high
    drawn = []
    for level in map(float, MaxNLocator(6).tick_values(low, high)):
        first, last = max(x.low, level - y.high), min(x.high, level - y.low)
        if first < last:
            ends = [(x(rate), y(level - rate)) for rate in (first, last)]
            svg.add_line(chart, ends[0], ends[1], "equal")
            drawn.append((-level, ends))
    return drawn


def _name_points(
    plane: _Plane, points: Sequence[_Point], best: Setting | None, taken: list[Box]
) -> None:
    """Writes a text beside each point that has a free place for it.

    The best comes first, and then those at the edge, whose rate can't be read off.
    """
    x = plane.x
    named = sorted(
        points, key=lambda p: (p.setting is not best, not x.is_beyond(p.rate))
    )
    if len(points) > MAX_NAMED:
        named = [point for point in points if point.setting is best]
    for point in named:
        is_best = point.setting is best
        text = point.text + ", best ELBO" * is_best
        if x.is_beyond(point.rate):
            text += f" (rate {few_digits(point.rate, 3)})"
        kind = "strong" if is_best else "name"
        _place_text(plane.chart, text, plane.place(point), taken, kind)


def _name_levels(
    chart: ET.Element,
    levels: Sequence[tuple[float, list[tuple[float, float]]]],
    taken: list[Box],
) -> None:
    for elbo, (start, end) in levels:
        text = f"ELBO {elbo + 0.0:g}".replace("-", "−")
        for share in (0.85, 0.6, 0.4, 0.15):
            middle = [a + share * (b - a) for a, b in zip(start, end, strict=True)]
            if _place_text(chart, text, (middle[0], middle[1]), taken, "level"):
                break


def _place_text(
    chart: ET.Element,
    text: str,
    place: tuple[float, float],
    taken: list[Box],
    kind: str,
) -> bool:
    """Writes a text beside a place, if there is room; whether there was."""
    for dx, dy in OFFSETS:
        left, baseline = place[0] + dx, place[1] + dy
        side = (dx > 0) - (dx < 0)
        left -= svg.width_of(text) * (0.5 - 0.5 * side)
        box = (left, baseline - 11, left + svg.width_of(text), baseline + 3)
        inside = box[2] <= WIDTH and 0 <= box[1] and box[3] < FOOT
        if inside and not any(_overlap(box, other) for other in taken):
            x = place[0] + dx
            svg.add_text(chart, text, x, baseline, ANCHORS[side], class_=kind)
            taken.append(box)
            return True
    return False


def _around(place: tuple[float, float]) -> Box:
    """The box of a mark."""
    x, y = place
    return x - 6, y - 6, x + 6, y + 6


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
