"""Figures of a latent space, from NumPy arrays: see `plots` about what they return."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from vae_jax.errors import DataError
from vae_jax.paths import PathLike
from vae_jax.report import style
from vae_jax.report.images import check_images

MANY_NATS = 0.01  # above which a bar is coloured and counted
NAME_GAP = 0.05  # between names of classes, share of the map's width and height
MOST_BARS = 500  # dimensions in a bar chart; more of them are not told apart


def interpolations(
    images: np.ndarray, path: PathLike | None = None, *, holds_label: bool = False
) -> Figure:
    """Draws decoded paths between two codes.

    Args:
        images: [R, T, H, W, C]: R paths with T equal steps from one code to the other.
        path: the PNG file to write, or None.
        holds_label: whether a path keeps the label of its first code, which is said.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: not images.
    """
    images = check_images(images, "RTHWC")
    return style.draw_images(
        images,
        path,
        "Interpolations between two codes"
        + (", with the label of the first" if holds_label else ""),
        x_label="share of the second code",
        x_ticks={0: "0", images.shape[1] - 1: "1"},
    )


def traversals(
    images: np.ndarray, labels: Sequence[str], path: PathLike | None = None
) -> Figure:
    """Draws what one latent dimension does while the others are constant.

    Args:
        images: [D, T, H, W, C]: T values, small to large, of each of D dimensions.
        labels: D names for the rows.
        path: the PNG file to write, or None.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: not images, or not one label a row.
    """
    images = check_images(images, "DTHWC")
    if len(labels) != len(images):
        raise DataError(f"{len(labels)} labels for {len(images)} rows of traversals")
    return style.draw_images(
        images,
        path,
        "One latent dimension at a time",
        x_label="small to large value of that dimension",
        y_ticks=dict(enumerate(labels)),
    )


def latent_grid(images: np.ndarray, path: PathLike | None = None) -> Figure:
    """Draws a decoded two-dimensional latent space.

    Args:
        images: [G, G, H, W, C]: columns are z[0] and rows, from the bottom up, z[1], at
            the quantiles (i + 1/2) / G of the prior.
        path: the PNG file to write, or None.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: not images, or another number of rows than columns.
    """
    images = check_images(images, "GGHWC")
    size = len(images)
    if images.shape[1] != size:
        raise DataError(f"a latent grid is square, not {size} x {images.shape[1]}")
    ticks = {i: f"{100 * (i + 0.5) / size:.3g}%" for i in (0, size - 1)}
    return style.draw_images(
        images,
        path,
        "Decoded latent space",
        x_label="z[0], quantile of the prior",
        y_label="z[1], quantile of the prior",
        x_ticks=ticks,
        y_ticks={size - 1 - i: text for i, text in ticks.items()},
    )


def latent_map(
    points: np.ndarray,
    labels: np.ndarray | None = None,
    path: PathLike | None = None,
    axis_names: tuple[str, str] = ("z[0]", "z[1]"),
    prior_circles: bool = True,
) -> Figure:
    """Draws where the data lie in a plane of the latent space.

    Args:
        points: [N, 2].
        labels: [N] integers for the colours, negative: unlabelled, in grey; or None.
        path: the PNG file to write, or None.
        axis_names: names of the two axes.
        prior_circles: whether to draw 1 and 2 standard deviations of a standard normal
            prior around the origin.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: another shape, or points that are not finite.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise DataError(f"points have shape {list(points.shape)}, not [N,2]")
    if not np.isfinite(points).all():
        raise DataError("points hold values that are not finite")
    if labels is not None and np.shape(labels) != points.shape[:1]:
        raise DataError(f"{len(points)} points but labels of shape {np.shape(labels)}")
    figure = style.new_figure(6.4)
    axes = figure.add_subplot()
    circles = "\ncircles: 1 and 2 sd of the prior" if prior_circles else ""
    style.label_axes(axes, f"Where the data lie in latent space{circles}", *axis_names)
    axes.set_aspect("equal", adjustable="datalim")
    size = float(np.clip(20_000 / len(points), 3, 30))
    dots: dict[str, Any] = {"alpha": 0.5, "s": size, "linewidths": 0}
    labelled = _labelled(labels, len(points))
    if not labelled.any():
        axes.scatter(*points.T, color=style.BLUE, **dots)
    else:
        axes.scatter(*points[~labelled].T, color=style.GREY, **dots)
        classes = np.asarray(labels)[labelled]
        _scatter_classes(figure, axes, points[labelled], classes, size)
    for radius in (1, 2) if prior_circles else ():
        axes.add_patch(
            Circle((0, 0), radius, fill=False, linestyle="--", linewidth=1.2)
        )
    return style.save_figure(figure, path)


def _labelled(labels: np.ndarray | None, num: int) -> np.ndarray:
    """Which of the points have a label, [N]: names have, and numbers from 0 up."""
    if labels is None:
        return np.zeros(num, bool)
    labels = np.asarray(labels)
    return labels >= 0 if labels.dtype.kind in "iuf" else np.ones(num, bool)


def _scatter_classes(
    figure: Figure, axes: Axes, points: np.ndarray, labels: np.ndarray, size: float
) -> None:
    """Points in their class's colour; in the given order, so no class hides another."""
    names, classes = np.unique(labels, return_inverse=True)
    x, y = points.T
    if len(names) > len(style.PALETTE):
        dots = axes.scatter(x, y, c=classes, cmap="viridis", s=size, linewidths=0)
        bar = figure.colorbar(dots, shrink=0.8)
        bar.set_ticks([0, len(names) - 1], labels=[str(names[0]), str(names[-1])])
        bar.ax.tick_params(labelsize=style.TEXT)
        return
    colors = np.array(style.PALETTE)[classes]
    axes.scatter(x, y, color=colors, alpha=0.6, s=size, linewidths=0)
    places = name_places(points, classes)
    for i, name in enumerate(names):
        axes.scatter([], [], color=style.PALETTE[i], label=str(name), s=40)
        style.outline(axes.annotate(str(name), places[i], ha="center", va="center"))
    figure.legend(loc="outside right center", fontsize=style.TEXT, frameon=False)


def name_places(points: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Where the name of each class is written, so that no name hides another.

    At the median of its points, or, where a name stands there already, at the nearest
    point of the class that is free; if none is, at the one that is farthest from names.

    Args:
        points: [N, 2].
        classes: number of each point's class, 0 to C - 1, [N].

    Returns:
        [C, 2].
    """
    scale = np.ptp(points, axis=0)
    scale[scale == 0] = 1
    places: list[np.ndarray] = []
    for i in range(classes.max() + 1):
        own = points[classes == i]
        middle = np.median(own, axis=0)
        order = np.linalg.norm((own - middle) / scale, axis=1).argsort(kind="stable")
        own = np.concatenate([middle[None], own[order]])
        taken = np.reshape(places, (-1, 1, 2))
        gaps = np.linalg.norm((own - taken) / scale, axis=2)
        gap = gaps.min(axis=0, initial=NAME_GAP)
        places.append(own[gap.argmax()])  # the first of those that are free
    return np.stack(places)


def kl_per_dimension(
    kl: np.ndarray, path: PathLike | None = None, name: str = ""
) -> Figure:
    """Draws the KL divergence of each latent dimension, largest first.

    Args:
        kl: [D], nats, mean over data.
        path: the PNG file to write, or None.
        name: the layer, "z1", of a model that has several.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: another shape, or values that are not finite.
    """
    kl = style.check_kl(kl, "D")
    order = np.argsort(-kl, kind="stable")[:MOST_BARS]
    high = kl > MANY_NATS
    of = f" of {name}" if name else ""
    title = f"KL per latent dimension{of}: {kl.sum():.1f} nats in all"
    counted = f"{high.sum()} of {len(kl)} above {MANY_NATS:g} nats (blue)"
    first = f"the first {MOST_BARS}, " if len(kl) > MOST_BARS else ""
    figure = style.new_figure(4.2)
    axes = figure.add_subplot()
    style.label_axes(
        axes, f"{title}\n{counted}", f"latent dimension, {first}sorted", "nats"
    )
    axes.grid(axis="x", visible=False)
    colors = np.where(high[order], style.BLUE, style.GREY)
    axes.bar(np.arange(len(order)), kl[order], color=colors)
    axes.margins(x=0.01)
    few = len(kl) <= 24
    axes.set_xticks(np.arange(len(kl)) if few else [], order if few else [])
    return style.save_figure(figure, path)
