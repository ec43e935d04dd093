"""Whether two numbers put runs in the same order: Spearman's correlations, drawn."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from vae_jax.paths import PathLike
from vae_jax.quantities import Section
from vae_jax.report import style
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
CELL, LABELS = 0.36, 2.4  # inches
COLORS = LinearSegmentedColormap.from_list(
    "orders", [style.ORANGE, "#ffffff", style.BLUE]
)


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


def draw(rows: Sequence[Row], names: Mapping[str, str], path: PathLike) -> None:
    """Draws the correlations of some numbers as a matrix, with their values.

    Args:
        rows: one per finished run.
        names: key -> name, from `ranked`.
        path: the PNG file to write.
    """
    matrix = spearman(rows, list(names))
    size = CELL * len(names) + LABELS
    figure = Figure(figsize=(size, size), dpi=style.DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(matrix, cmap=COLORS, vmin=-1, vmax=1)
    places = range(len(names))
    axes.set_xticks(places, names.values(), rotation=90, fontsize=style.TEXT - 2)
    axes.set_yticks(places, names.values(), fontsize=style.TEXT - 2)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (i, j), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            text = f"{value:.2f}".replace("0.", ".").replace("-", "−")
            axes.text(j, i, text, ha="center", va="center", fontsize=8)
    style.save_figure(figure, path)
