"""Whether two numbers put runs in the same order: Spearman's correlations, drawn."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

import numpy as np

from vae_jax.quantities import Section
from vae_jax.report import svg
from vae_jax.report.compare import Row, is_number

LEAST_RUNS = 5  # with fewer, most orders agree by chance
# What is compared with the numbers of a group that `ranks`, where there are such.
UNSUPERVISED = (
    "elbo",
    "rate",
    "distortion",
    "nll",
    "mutual_information",
    "total_correlation",
    "batch_total_correlation",
    "dimension_kl",
    "marginal_kl",
    "active_units",
    "noise_share",
    "sensitivity",
    "length_ratio",
    "coverage",
)
CELL = 26.0  # width of a square


def ranked(rows: Sequence[Row], sections: Sequence[Section]) -> dict[str, str]:
    """The numbers whose orders are worth a comparison, with their names.

    Args:
        rows: one per finished run.
        sections: what the numbers mean. Those of groups that `rank` come first.

    Returns:
        Key -> name of each number that at least five runs have and that differs
        between them; nothing where fewer than two of a group that ranks are left.
    """
    names: dict[str, str] = {}
    first: dict[str, str] = {}
    for section in sections:
        for quantity in section.quantities:
            for key, line in quantity.lines.items():
                name = ", ".join(filter(None, [quantity.title, line]))
                (first if section.group.ranks else names)[key] = name
    found = first | {key: names[key] for key in UNSUPERVISED if key in names}
    found = {key: name for key, name in found.items() if _varies(rows, key)}
    return found if len(found.keys() & first) > 1 else {}


def _varies(rows: Sequence[Row], key: str) -> bool:
    known = _column(rows, key)
    known = known[np.isfinite(known)]
    return len(known) >= LEAST_RUNS and bool(np.ptp(known) > 0)


def spearman(rows: Sequence[Row], keys: Sequence[str]) -> np.ndarray:
    """Spearman's rank correlation of each pair of numbers, over the runs with both.

    Args:
        rows: one per finished run.
        keys: n keys of results.json.

    Returns:
        [n, n], -1 to 1; NaN where fewer than five runs have both numbers, or where one
        of the two is the same in all of these.
    """
    from scipy.stats import rankdata

    columns = [_column(rows, key) for key in keys]
    found = np.full((len(keys), len(keys)), np.nan)
    for i, a in enumerate(columns):
        for j, b in enumerate(columns):
            both = np.isfinite(a) & np.isfinite(b)
            if both.sum() < LEAST_RUNS:
                continue
            ranks = np.stack([rankdata(a[both]), rankdata(b[both])])
            if (np.ptp(ranks, axis=1) > 0).all():
                found[i, j] = np.corrcoef(ranks)[0, 1]
    return found


def _column(rows: Sequence[Row], key: str) -> np.ndarray:
    """A number of each run, NaN where there is none, [runs]."""
    values = [row.get(key) for row in rows]
    return np.array([v if is_number(v) else np.nan for v in values], float)


def draw(rows: Sequence[Row], names: Mapping[str, str]) -> ET.Element:
    """Draws the correlations of some numbers as a matrix, with their values.

    Args:
        rows: one per finished run.
        names: key -> name, from `ranked`.

    Returns:
        The chart, an `svg` element.
    """
    matrix = spearman(rows, list(names))
    titles = list(names.values())
    edge = 12 + max(map(svg.width_of, titles))
    whole = edge + CELL * len(titles)
    chart = svg.new(whole, whole, "Rank correlations of pairs of numbers over runs")
    for i, title in enumerate(titles):
        place = edge + CELL * (i + 0.5)
        svg.add_text(chart, title, edge - 6, place + 4.5, "end")
        turned = f"translate({place + 4.5:.1f} {edge - 6:.1f}) rotate(-90)"
        svg.add(chart, "text", title, transform=turned)
    for (i, j), value in np.ndenumerate(matrix):
        if not np.isfinite(value):
            continue
        left, top = edge + CELL * j, edge + CELL * i
        cell = svg.add(chart, "g", class_="mark s0" if value > 0 else "mark s1")
        text = f"{value:.2f}".replace("-", "−")
        svg.add(cell, "title", f"{titles[i]}\n{titles[j]}\n{text}")
        svg.add(
            cell,
            "rect",
            x=left,
            y=top,
            width=CELL,
            height=CELL,
            fill_opacity=f"{abs(value):.2f}",
        )
        middle = (left + CELL / 2, top + CELL / 2 + 4)
        svg.add_text(cell, text.replace("0.", "."), *middle, "middle", class_="number")
    return chart
