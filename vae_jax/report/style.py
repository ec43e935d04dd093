"""One look for all figures: sizes for a phone, colours for colour-blind readers."""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from vae_jax.errors import DataError
from vae_jax.files import replace_file
from vae_jax.paths import PathLike
from vae_jax.report.images import image_grid

# Ten colours that stay apart for colour-blind readers: Petroff, arXiv:2107.02270.
PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
BLUE, ORANGE, GREY = PALETTE[0], PALETTE[6], "#b8bcbe"
DPI = 180
TITLE, TEXT = 14, 12  # points
WIDTH = 6.7  # inches: 1206 pixels


class NotebookFigure(Figure):
    """A figure that a notebook shows without `matplotlib.pyplot` or a magic command."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The PNG as IPython asks for it, shown at half its size: sharp on a phone."""
        return _png(self), {"width": round(self.get_figwidth() * DPI / 2)}


def new_figure(height: float) -> Figure:
    """An empty figure of the common width; `height` in inches."""
    return NotebookFigure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def label_axes(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Title, labels with units, a light grid and no box."""
    axes.set_title(title, fontsize=TITLE)
    axes.set_xlabel(x_label, fontsize=TEXT)
    axes.set_ylabel(y_label, fontsize=TEXT)
    axes.tick_params(labelsize=TEXT)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def outline(text: Text) -> None:
    """Keeps a text legible on top of points."""
    text.set_fontsize(TEXT)
    text.set_fontweight("bold")
    text.set_path_effects([patheffects.withStroke(linewidth=3, foreground="white")])


def save_figure(figure: Figure, path: PathLike | None) -> Figure:
    """Writes a PNG, atomically, where there is a path; gives the figure back."""
    if path is not None:
        replace_file(path, _png(figure))
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def check_kl(kl: np.ndarray, axis: str) -> np.ndarray:
    """A KL divergence as an array.

    Args:
        kl: nats, [D] or [L].
        axis: the letter of its axis, for the message.

    Raises:
        DataError: another shape, or values that are not finite.
    """
    kl = np.asarray(kl)
    if kl.ndim != 1 or not len(kl) or not np.isfinite(kl).all():
        raise DataError(
            f"kl must be finite numbers [{axis}], not {kl.dtype}{list(kl.shape)}"
        )
    return kl


def draw_images(
    rows: np.ndarray,
    path: PathLike | None,
    title: str,
    *,
    x_label: str = "",
    y_label: str = "",
    x_ticks: Mapping[int, str] | None = None,
    y_ticks: Mapping[int, str] | None = None,
) -> Figure:
    """Draws a grid of images in which a pixel is a square of whole screen pixels.

    Args:
        rows: images, row by row, [R, T, H, W, C], values in [0, 1].
        path: the PNG file to write, or None.
        title: text above the grid.
        x_label: text below the grid.
        y_label: text left of the grid.
        x_ticks: column -> text below it.
        y_ticks: row -> text left of it.

    Returns:
        The figure.
    """
    grid = image_grid(rows.reshape(-1, *rows.shape[2:]), rows.shape[1])
    height, width = grid.shape[:2]
    scale = max(1, round(WIDTH * DPI / max(height, width)))
    grid_width, grid_height = scale * width, scale * height  # on the screen
    x_ticks, y_ticks = x_ticks or {}, y_ticks or {}
    longest = max(map(len, y_ticks.values()), default=0)
    line = TEXT / 72 * DPI * 1.6  # pixels
    # Texts may be wider than the grid that they are centred on.
    spill = (0.4 * line * max(len(title), len(x_label)) - grid_width) / 2
    left = max(line * (0.4 + 0.45 * longest + bool(y_label)), spill)
    below = line * (0.4 + bool(x_ticks) + bool(x_label))
    wide = left + grid_width + max(0.4 * line, spill)
    high = below + grid_height + 1.6 * line
    figure = NotebookFigure(figsize=(wide / DPI, high / DPI), dpi=DPI)
    axes = figure.add_axes(
        (left / wide, below / high, grid_width / wide, grid_height / high)
    )
    colors = np.broadcast_to(grid, (height, width, 3))
    axes.imshow(colors, interpolation="nearest", aspect="auto")
    axes.set_title(title, fontsize=TITLE, pad=0.4 * TITLE)
    axes.set_xlabel(x_label, fontsize=TEXT)
    axes.set_ylabel(y_label, fontsize=TEXT)
    cell_height, cell_width = rows.shape[2] + 1, rows.shape[3] + 1
    axes.set_xticks([(x + 0.5) * cell_width - 1 for x in x_ticks], x_ticks.values())
    axes.set_yticks([(y + 0.5) * cell_height - 1 for y in y_ticks], y_ticks.values())
    axes.tick_params(labelsize=TEXT, length=0)
    axes.spines[:].set_visible(False)
    return save_figure(figure, path)
