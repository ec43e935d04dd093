"""Figures of the lesson, images and numbers: arrays in, one PNG out.

Labels are symbols and numbers, so that one figure serves the text in every language.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from vae_jax.files import replace_file
from vae_jax.paths import PathLike
from vae_jax.report import style
from vae_jax.report.images import image_grid

NAMES = 1.0  # inches for the names left of rows
GREYS, COLORS = 32, 256


def save(figure: Figure, path: PathLike, colors: int = COLORS) -> None:
    """Writes a PNG with a palette, a third of the bytes of one without; atomically."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    image = Image.open(drawn).convert("RGB")
    image = image.quantize(colors, dither=Image.Dither.NONE)
    image.save(small, format="png", optimize=True)
    replace_file(path, small.getvalue())


def image_rows(rows: Mapping[str, np.ndarray], path: PathLike) -> None:
    """Draws one strip of images for each name.

    Args:
        rows: name -> [R, T, H, W, C], values in [0, 1]; the same T for all.
        path: the PNG file to write.
    """
    _, columns, _, width, _ = next(iter(rows.values())).shape
    scale = (style.WIDTH - NAMES) / (columns * width)  # inches per pixel
    heights = [scale * len(images) * images.shape[2] for images in rows.values()]
    figure = Figure((style.WIDTH, sum(heights) + 0.12 * len(rows)), dpi=style.DPI)
    panels = figure.subplots(
        len(rows),
        squeeze=False,
        gridspec_kw={
            "height_ratios": heights,
            "hspace": 0.12 * len(rows) / sum(heights),
            "left": NAMES / style.WIDTH,
            "right": 0.995,
            "bottom": 0.005,
            "top": 0.995,
        },
    )[:, 0]
    for axes, (name, images) in zip(panels, rows.items(), strict=True):
        show_images(axes, images)
        axes.set_ylabel(name, fontsize=style.TEXT, rotation=0, ha="right", va="center")
    save(figure, path, GREYS)


def image_panels(panels: Mapping[str, np.ndarray], path: PathLike) -> None:
    """Draws grids of images two by two, each under its name.

    Args:
        panels: name -> [R, T, H, W, C], values in [0, 1]; the same shape for all.
        path: the PNG file to write.
    """
    rows, columns, height, width, _ = next(iter(panels.values())).shape
    lines = -(-len(panels) // 2)
    inches = style.WIDTH / 2 * rows * height / (columns * width)
    figure = style.new_figure(lines * (inches + 0.35))
    axes_of = figure.subplots(lines, 2).flat
    for axes, (name, images) in zip(axes_of, panels.items(), strict=True):
        show_images(axes, images)
        axes.set_title(name, fontsize=style.TITLE)
    save(figure, path, GREYS)


def show_images(axes: Axes, images: np.ndarray) -> None:
    """A grid of images [R, T, H, W, C]."""
    grid = image_grid(images.reshape(-1, *images.shape[2:]), images.shape[1])
    axes.imshow(grid, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def posterior_variance(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], path: PathLike
) -> None:
    """Draws the posterior's variance against the step of training.

    Args:
        curves: name -> steps and values, above 0.
        path: the PNG file to write.
    """
    figure = style.new_figure(4.2)
    axes = figure.add_subplot()
    style.label_axes(axes, "", "t", "σ²")
    colors = (style.PALETTE[2], style.PALETTE[0], style.PALETTE[3])
    for color, (name, (steps, values)) in zip(colors, curves.items(), strict=True):
        axes.plot(steps, values, "o-", color=color, ms=4)
        axes.annotate(
            name,
            (steps[-1], values[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.TEXT,
            color=color,
            fontweight="bold",
        )
    axes.set_yscale("log")
    axes.margins(x=0.02)
    save(figure, path)


def against_weight(
    weights: Sequence[float],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    levels: Mapping[str, Mapping[str, float]],
    path: PathLike,
) -> None:
    """Draws numbers against the KL weight, one panel each.

    Args:
        weights: KL weights in increasing order; they are drawn at equal distances,
            because 0 has no logarithm.
        panels: title -> name of the curve -> values.
        levels: title -> name -> value, drawn as a dashed line.
        path: the PNG file to write.
    """
    figure = style.new_figure(0.6 + 2.7 * len(panels))
    axes_of = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    positions = np.arange(len(weights))
    for axes, (title, curves) in zip(axes_of, panels.items(), strict=True):
        style.label_axes(axes, title, "β" if axes is axes_of[-1] else "", "")
        for color, (name, values) in zip(
            (style.BLUE, style.ORANGE), curves.items(), strict=True
        ):
            axes.plot(positions, values, "o-", color=color, label=name, ms=6)
        for name, value in levels.get(title, {}).items():
            axes.axhline(value, color="black", linestyle="--", linewidth=1.2)
            axes.annotate(
                name,
                (0, value),
                xytext=(0, 4),
                textcoords="offset points",
                fontsize=style.TEXT,
            )
        axes.legend(fontsize=style.TEXT, frameon=False)
        axes.set_xticks(positions, [f"{weight:g}" for weight in weights])
    save(figure, path)


def bars(values: Mapping[str, float], path: PathLike) -> None:
    """Draws percentages as horizontal bars.

    Args:
        values: name -> value in [0, 1].
        path: the PNG file to write.
    """
    figure = style.new_figure(0.9 + 0.45 * len(values))
    axes = figure.add_subplot()
    style.label_axes(axes, "", "%", "")
    names, numbers = list(values), 100 * np.array(list(values.values()))
    drawn = axes.barh(names, numbers, color=style.BLUE)
    axes.bar_label(drawn, fmt="%.1f", padding=4, fontsize=style.TEXT)
    axes.invert_yaxis()
    axes.set_xlim(0, 105)
    axes.grid(axis="y", visible=False)
    save(figure, path)
