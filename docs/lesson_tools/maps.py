"""Figures of the lesson that show codes as places on a map: arrays in, one PNG out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse

from docs.lesson_tools.figures import save, show_images
from vae_jax.paths import PathLike
from vae_jax.report import style

# Of a two-dimensional normal, in standard deviations: sqrt of the 95% quantile of
# chi-squared with 2 degrees of freedom.
RADIUS_95 = 2.4477


def latent_maps(
    codes: Mapping[str, tuple[np.ndarray, np.ndarray]],
    labels: np.ndarray,
    path: PathLike,
    num_ellipses: int = 12,
) -> None:
    """Draws two-dimensional codes by label, the clouds of a few, and the prior.

    Once all on one scale, small, and once each on its own.

    Args:
        codes: name -> means and standard deviations, each [N, 2].
        labels: [N], digits 0 to 9.
        path: the PNG file to write.
        num_ellipses: how many images show the region of 95% of their posterior.
    """
    figure = style.new_figure(9.6)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 3.6))
    small = above.subplots(1, len(codes), sharey=True)
    large = below.subplots(2, 2).flat
    colors = np.array(style.PALETTE)[labels]
    reaches = [_reach(mean) for mean, _ in codes.values()]
    for axes, (name, (mean, _)) in zip(small, codes.items(), strict=True):
        _map(axes, mean, colors, max(reaches), 1.5)
        axes.set_title(name, fontsize=style.TITLE)
    for axes, reach, (name, (mean, std)) in zip(
        large, reaches, codes.items(), strict=True
    ):
        _map(axes, mean, colors, reach, 5)
        axes.set_title(name, fontsize=style.TITLE)
        for center, spread in zip(mean[:num_ellipses], std[:num_ellipses], strict=True):
            _ellipse(axes, center, spread, linewidth=1.2)
            axes.plot(*center, "k+", markersize=5)
        axes.set_xlabel("z₁", fontsize=style.TEXT)
        axes.set_ylabel("z₂", fontsize=style.TEXT, rotation=0)
    for digit in np.unique(labels):
        large[0].scatter([], [], color=style.PALETTE[digit], label=str(digit), s=40)
    below.legend(
        loc="outside lower center",
        ncols=10,
        fontsize=style.TEXT,
        frameon=False,
        handletextpad=0.1,
        columnspacing=1.0,
    )
    save(figure, path)


def _reach(codes: np.ndarray) -> float:
    """How far a map goes, without the very last codes."""
    return float(
        1.05 * max(np.abs(np.quantile(codes, (0.002, 0.998))).max(), RADIUS_95)
    )


def _map(
    axes: Axes, codes: np.ndarray, colors: np.ndarray, reach: float, size: float
) -> None:
    """Codes, and the circle with 95% of the prior."""
    axes.scatter(*codes.T, color=colors, s=size, alpha=0.6, linewidths=0)
    circle = Circle((0, 0), RADIUS_95, fill=False, linestyle="--", linewidth=1.4)
    axes.add_patch(circle)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.tick_params(labelsize=style.TEXT)
    axes.grid(alpha=0.3)


def _ellipse(axes: Axes, mean: np.ndarray, std: np.ndarray, **look: Any) -> None:
    """Where 95% of a posterior lie."""
    width, height = 2 * RADIUS_95 * std
    center = float(mean[0]), float(mean[1])
    axes.add_patch(Ellipse(center, float(width), float(height), fill=False, **look))


def four_steps(
    image: np.ndarray,
    cloud: tuple[np.ndarray, np.ndarray],
    draws: np.ndarray,
    decoded: tuple[np.ndarray, np.ndarray],
    loss: tuple[float, float],
    path: PathLike,
) -> None:
    """Draws what happens to one image in one step of training.

    Args:
        image: [H, W, C].
        cloud: mean and standard deviation of its posterior, each [2].
        draws: codes drawn from it, [K, 2].
        decoded: the images of its mean, [H, W, C], and of these codes, [K, H, W, C].
        loss: distortion and rate of the image, nats.
        path: the PNG file to write.
    """
    mean, std = cloud
    figure = style.new_figure(7.4)
    top, bottom = figure.subfigures(2, 1, height_ratios=(3, 2.1))
    left, to_right, right = top.subplots(1, 3, width_ratios=(1, 0.1, 1.3))
    down, images, changes = bottom.subplots(3, 1, height_ratios=(0.3, 1, 1))
    for axes, arrow in ((to_right, "➜"), (down, "⬇")):
        axes.text(0.5, 0.5, arrow, fontsize=22, ha="center", va="center")
        axes.axis("off")
    show_images(left, image[None, None])
    left.set_title("1.  x → μ, σ", fontsize=style.TITLE)
    numbers = [f"μ = ({mean[0]:.2f}, {mean[1]:.2f})"]
    numbers += [f"σ = ({std[0]:.2f}, {std[1]:.2f})"]
    left.set_xlabel("\n".join(numbers), fontsize=style.TEXT)
    right.set_title("2.  z = μ + σ · ε", fontsize=style.TITLE)
    _ellipse(right, mean, std, edgecolor=style.BLUE, linewidth=2)
    right.scatter(*draws.T, color=style.ORANGE, s=18, zorder=3)
    reach = 1.1 * max(RADIUS_95 * std.max(), np.abs(draws - mean).max())
    right.set(
        xlim=(mean[0] - reach, mean[0] + reach),
        ylim=(mean[1] - reach, mean[1] + reach),
        aspect="equal",
    )
    right.set_xlabel("z₁", fontsize=style.TEXT)
    right.set_ylabel("z₂", fontsize=style.TEXT, rotation=0)
    right.tick_params(labelsize=style.TEXT)
    right.grid(alpha=0.3)
    center, drawn = decoded
    show_images(images, drawn[None])
    images.set_title("3.  z → p(x | z)", fontsize=style.TITLE)
    _show_changes(changes, drawn[..., 0] - center[..., 0])
    changes.set_title("p(x | z) − p(x | μ)", fontsize=style.TEXT)
    distortion, rate = loss
    changes.set_xlabel(
        f"4.  −log p(x | z) + β · KL = {distortion:.1f} + 1 · {rate:.1f}"
        f" = {distortion + rate:.1f} nats",
        fontsize=style.TITLE,
        labelpad=10,
    )
    save(figure, path)


def _show_changes(axes: Axes, changes: np.ndarray) -> None:
    """[K, H, W], negative in blue and positive in red; white where nothing changes."""
    height, width = changes.shape[1:]
    row = np.pad(changes, ((0, 0), (0, 0), (0, 1)))  # a white line between two
    row = row.transpose(1, 0, 2).reshape(height, -1)[:, :-1]
    most = np.abs(row).max()
    axes.imshow(row, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for edge in range(width, row.shape[1], width + 1):
        axes.axvline(edge, color="black", linewidth=0.8)
