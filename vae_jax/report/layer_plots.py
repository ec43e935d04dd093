"""Figures of models with several latent layers; see `plots` about what they return."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from vae_jax.paths import PathLike
from vae_jax.report import style
from vae_jax.report.images import check_images


def samples(images: Mapping[int, np.ndarray], path: PathLike | None = None) -> Figure:
    """Draws what each latent layer leaves open: samples that share all codes above it.

    Args:
        images: by the number of a layer, the top one first: T samples,
            [T, H, W, C], with the same codes of the layers above; that layer and those
            below were drawn for each.
        path: the PNG file to write, or None.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: not images.
    """
    return style.draw_images(
        check_images(np.stack(list(images.values())), "LTHWC"),
        path,
        "Samples that share the layers above",
        x_label="draws of the layer and of those below it",
        y_ticks={row: f"z{number}" for row, number in enumerate(images)},
    )


def kl_per_layer(kl: np.ndarray, path: PathLike | None = None) -> Figure:
    """Draws the KL divergence of each latent layer, from the top.

    Args:
        kl: [L], nats, mean over data, the layer next to the data first.
        path: the PNG file to write, or None.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: another shape, or values that are not finite.
    """
    kl = style.check_kl(kl, "L")
    figure = style.new_figure(1.3 + 0.3 * len(kl))
    axes = figure.add_subplot()
    title = f"KL per latent layer: {kl.sum():.3g} nats in all"
    style.label_axes(axes, title, "nats", "")
    axes.grid(axis="y", visible=False)
    bars = axes.barh(np.arange(len(kl)), kl, color=style.BLUE)
    axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=style.TEXT)
    axes.margins(x=0.12)
    names = [f"z{number}" for number in range(1, len(kl) + 1)]
    axes.set_yticks(np.arange(len(kl)), names)
    return style.save_figure(figure, path)
