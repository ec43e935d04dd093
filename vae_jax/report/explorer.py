"""A page in which a reader walks through latent spaces: one HTML file that holds all.

The page has no decoder. It has the images of a lattice of codes and shows, at a point
between them, their multilinear mixture. So any decoder will do, whatever its network
and its size, a step costs the page nothing, and the size of the file is bounded.
"""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps, colors
from PIL import Image

from vae_jax.errors import ConfigError, DataError
from vae_jax.files import replace_file, writing
from vae_jax.report import html, style
from vae_jax.report.images import check_images

MOST_BYTES = 4_000_000  # of the file
QUALITIES = (70, 50, 30, 10)  # of WebP, the first that keeps the file small enough
MOST_CLASSES = 40  # that a legend lists


@dataclasses.dataclass(frozen=True)
class Axis:
    """A latent dimension that the reader moves along."""

    name: str  # as "z[3]"
    values: Sequence[float]  # those that are decoded, ascending
    rate: float | None = None  # nats; None, or infinite, where there is none


@dataclasses.dataclass(frozen=True)
class Explored:
    """What the page shows of one run: K dimensions of its codes, the map's two first.

    The image nearest to a point z has the smallest
    sum_k (z_k - means[n, k])^2 + apart[n]. The point is among the codes if the smallest
    sum_k (z_k - means[n, k])^2 / variances[n, k] + beyond[n] is at most `reach`; else
    it is in a hole.
    """

    name: str
    numbers: Sequence[tuple[str, str]]  # title and text of results
    axes: Sequence[Axis]  # K, at least 2
    others: int  # dimensions that stay where they are
    lattice: (
        np.ndarray
    )  # decoded codes: labels, values of each axis, image [L, ..., H, W, C]
    decoded: np.ndarray  # each held-out image, decoded from its own code, [N, H, W, C]
    means: np.ndarray  # [N, K]
    variances: np.ndarray  # [N, K]
    apart: np.ndarray  # [N]: part of the dimensions that stay where they are
    beyond: np.ndarray  # [N]: likewise
    reach: float
    draws: np.ndarray  # from the prior, [P, K]
    has_standard_prior: bool
    labels: Sequence[str] = ()  # what a conditional model decodes for, L; () for others
    # [N]: which of `labels` belongs to each image, -1: another one; () for others.
    given: Sequence[int] = ()


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The images whose codes are shown, the same of all runs."""

    images: np.ndarray  # [N, H, W, C] in [0, 1]
    labels: np.ndarray | None = None  # [N], whole numbers, negative: unlabelled
    class_names: Sequence[str] | None = None  # of the labels 0, 1, ...


def write_explorer(
    path: pathlib.Path, heldout: HeldOut, runs: Sequence[Explored], *, title: str
) -> int:
    """Writes the page; it needs no other file and no network, and replaces an older.

    Args:
        path: the HTML file; its folder must exist.
        heldout: the images whose codes are shown.
        runs: what there is to explore, at least one, in the order of their names.
        title: title of the page.

    Returns:
        The size of the file in bytes, at most `MOST_BYTES`.

    Raises:
        DataError: what should be images is not.
        ConfigError: the page would be larger than `MOST_BYTES`.
        StorageError: the file can't be written.
    """
    template = html.template("explorer.html.jinja")
    for quality in QUALITIES:
        content = {
            "heldout": _heldout(heldout, quality),
            "runs": [_run(run, quality) for run in runs],
        }
        shown = html.script_json(content)
        page = template.render(title=title, content=shown).encode()
        if len(page) <= MOST_BYTES:
            break
    else:
        raise ConfigError(
            f"{path}: {len(runs)} runs make a page of {len(page) / 1e6:.1f} MB, and"
            f" {MOST_BYTES / 1e6:g} MB is the most: choose fewer runs"
        )
    with writing(path):
        replace_file(path, page)
    return len(page)


def _heldout(heldout: HeldOut, quality: int) -> dict[str, object]:
    classes, numbers = _classes(heldout)
    return {
        "images": _atlas(heldout.images, quality),
        "classes": classes,
        "labels": numbers,
        "listed": len(classes) <= MOST_CLASSES,
    }


def _classes(heldout: HeldOut) -> tuple[list[dict[str, str]], list[int]]:
    """Name and colour of each class, and the class of each image; -1: it has none."""
    if heldout.labels is None:
        return [], [-1] * len(heldout.images)
    labels = np.asarray(heldout.labels)
    values = np.unique(labels[labels >= 0])
    names = heldout.class_names
    palette = list(style.PALETTE)
    if len(values) > len(palette):
        ramp = colormaps["viridis"](np.linspace(0, 1, len(values)))
        palette = [colors.to_hex(color) for color in ramp]
    classes = [
        {"name": names[value] if names else str(value), "color": color}
        for value, color in zip(values.tolist(), palette, strict=False)
    ]
    number = {value: i for i, value in enumerate(values.tolist())}
    return classes, [number.get(label, -1) for label in labels.tolist()]


def _run(run: Explored, quality: int) -> dict[str, object]:
    if not _is_finite(run.reach):
        raise DataError("codes hold values that are not finite")
    height, width, channels = run.lattice.shape[-3:]
    lattice = run.lattice.reshape(-1, height, width, channels)
    return {
        "name": run.name,
        "numbers": list(run.numbers),
        "axes": [
            {
                "name": axis.name,
                "rate": axis.rate if _is_finite(axis.rate) else None,
                "values": _rounded(np.asarray(axis.values)),
                "low": min(axis.values),
                "high": max(axis.values),
            }
            for axis in run.axes
        ],
        "others": run.others,
        "labels": list(run.labels),
        "given": list(run.given),
        "lattice": _atlas(lattice, quality),
        "decoded": _atlas(run.decoded, quality),
        "means": _rounded(run.means),
        "variances": _rounded(run.variances),
        "apart": _rounded(run.apart),
        "beyond": _rounded(run.beyond),
        "reach": run.reach,
        "draws": _rounded(run.draws),
        "hasStandardPrior": run.has_standard_prior,
    }


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _rounded(values: np.ndarray) -> list[object]:
    """Numbers with four digits, which is finer than a screen."""
    if not np.isfinite(values).all():
        raise DataError("codes hold values that are not finite")
    shorter = np.vectorize(lambda value: float(f"{value:.4g}"), otypes=[float])
    return shorter(values).tolist()


def cell(height: int, width: int) -> tuple[int, int]:
    """Width and height of the place that an image takes in the file, in pixels.

    Whole blocks of 16: what the compression loses at an image's edge would be its
    neighbour's otherwise.
    """
    return 16 * math.ceil(width / 16), 16 * math.ceil(height / 16)


def _atlas(images: np.ndarray, quality: int) -> dict[str, object]:
    """Images [N, H, W, C] as one, row by row from the left, each in its `cell`.

    What is left of a cell is filled up with the image's edge.
    """
    images = check_images(images, "NHWC")
    count, height, width, channels = images.shape
    wide, tall = cell(height, width)
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    spare = ((0, rows * columns - count), (0, tall - height), (0, wide - width), (0, 0))
    cells = np.pad(np.rint(255 * images).astype(np.uint8), spare, mode="edge")
    sheet = cells.reshape(rows, columns, tall, wide, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * tall, columns * wide, channels)
    sheet = np.broadcast_to(sheet, (*sheet.shape[:2], 3))
    return {
        "uri": html.data_uri(Image.fromarray(np.ascontiguousarray(sheet)), quality),
        "columns": columns,
        "cell": [wide, tall],
        "size": [width, height],
    }
