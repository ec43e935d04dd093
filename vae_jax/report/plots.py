"""Figures of images and of training, from NumPy arrays.

Each function returns a Matplotlib figure, and writes it as a PNG where it is given a
path.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vae_jax.errors import DataError
from vae_jax.paths import PathLike
from vae_jax.report import style
from vae_jax.report.images import check_images

MOST_COLUMNS = 10  # of samples of one label
CURVES = {
    "elbo": "ELBO, larger is better",
    "rate": "Rate: KL to the prior",
    "distortion": "Distortion: reconstruction error",
}


def reconstructions(
    originals: np.ndarray,
    reconstructed: np.ndarray,
    path: PathLike | None = None,
    *,
    seen: np.ndarray | None = None,
) -> Figure:
    """Draws data and, below each row of it, what the model makes of it.

    Args:
        originals: [N, H, W, C], values in [0, 1]; others are clipped, here and below.
        reconstructed: [N, H, W, C].
        path: the PNG file to write, or None.
        seen: [N, H, W, C], what the model saw of the originals, drawn between the two
            where it differs: binarised images, or images with noise.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: the shapes differ or are not those of images.
    """
    title = "Reconstructions"
    kinds = {"data": originals, "model": reconstructed}
    if seen is not None and not _alike(seen, originals):
        title += "; seen: the data as the model got them"
        kinds = {"data": originals, "seen": seen, "model": reconstructed}
    parts = [check_images(images, "NHWC") for images in kinds.values()]
    if len({images.shape for images in parts}) > 1:
        shapes = " and ".join(str(list(images.shape)) for images in parts)
        raise DataError(f"originals and reconstructions have shapes {shapes}")
    columns = min(8, len(parts[0]))
    rows = np.stack([_in_rows(images, columns) for images in parts], axis=1)
    names = dict(enumerate([*kinds] * len(rows)))
    alternating = rows.reshape(-1, *rows.shape[2:])
    return style.draw_images(alternating, path, title, y_ticks=names)


def _in_rows(images: np.ndarray, columns: int) -> np.ndarray:
    """Images row by row, the last row filled up with white, [R, columns, H, W, C]."""
    fill = ((0, -len(images) % columns), (0, 0), (0, 0), (0, 0))
    filled = np.pad(images, fill, constant_values=1.0)
    return filled.reshape(-1, columns, *images.shape[1:])


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=0, atol=1e-5)


def image_rows(
    images: np.ndarray,
    path: PathLike | None = None,
    *,
    title: str = "",
    columns: int | None = None,
    names: Sequence[str] = (),
) -> Figure:
    """Draws images row by row.

    Args:
        images: [N, H, W, C], values in [0, 1]; others are clipped.
        path: the PNG file to write, or None.
        title: text above the images.
        columns: images in a row; None: as many as there will be rows.
        names: a text for each row, from the top; or none.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: not images.
    """
    images = check_images(images, "NHWC")
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    rows, beside = _in_rows(images, columns), dict(enumerate(names))
    return style.draw_images(rows, path, title, y_ticks=beside)


def samples(
    images: np.ndarray,
    path: PathLike | None = None,
    labels: Sequence[int] | None = None,
) -> Figure:
    """Draws decoded draws from the prior as a square, or rows for each label.

    Args:
        images: [N, H, W, C], values in [0, 1]; others are clipped.
        path: the PNG file to write, or None.
        labels: the label that each image was drawn for, [N]; None of a model without.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: not images.
    """
    title = "Samples from the prior"
    if labels is None:
        return image_rows(images, path, title=title)
    names = list(dict.fromkeys(labels))
    if len(names) == 1:
        return image_rows(images, path, title=f"{title}, label {names[0]}")
    images = check_images(images, "NHWC")
    own = [images[np.asarray(labels) == name] for name in names]
    columns = min(MOST_COLUMNS, max(map(len, own)))
    rows = [_in_rows(part, columns) for part in own]
    beside = [  # the label at its first row
        text
        for name, part in zip(names, rows, strict=True)
        for text in (str(name), *[""] * (len(part) - 1))
    ]
    return style.draw_images(
        np.concatenate(rows),
        path,
        f"{title}, by label",
        y_ticks=dict(enumerate(beside)),
    )


def every_label(
    images: np.ndarray,
    decoded: np.ndarray,
    path: PathLike | None = None,
    labels: Sequence[int] = (),
) -> Figure:
    """Draws images and, right of each, its code decoded with every label.

    Args:
        images: [N, H, W, C], values in [0, 1]; others are clipped, here and below.
        decoded: [N, L, H, W, C].
        path: the PNG file to write, or None.
        labels: the labels, [L].

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: the shapes differ or are not those of images.
    """
    images, decoded = check_images(images, "NHWC"), check_images(decoded, "NLHWC")
    if images.shape != (len(decoded), *decoded.shape[2:]):
        shapes = f"{list(images.shape)} and {list(decoded.shape)}"
        raise DataError(f"images and what is decoded have shapes {shapes}")
    return style.draw_images(
        np.concatenate([images[:, None], decoded], axis=1),
        path,
        "Codes of images, decoded with every label",
        x_label="label",
        x_ticks=dict(enumerate(["data", *map(str, labels)])),
    )


def training_curves(
    records: Sequence[Mapping[str, float | None]], path: PathLike | None = None
) -> Figure:
    """Draws ELBO, rate and distortion against the step, for train and eval.

    The scale of each panel fits what comes after the first tenth of the steps: the
    first values are so far off that nothing else could be read.

    Args:
        records: as `read_metrics` returns them; None leaves a gap.
        path: the PNG file to write, or None.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        DataError: no record holds one of the three metrics.
    """
    curves = {name: _curves(records, name) for name in CURVES}
    curves = {name: parts for name, parts in curves.items() if parts}
    if not curves:
        raise DataError("no record holds train/ or eval/ elbo, rate or distortion")
    figure = style.new_figure(0.8 + 2.4 * len(curves))
    panels = figure.subplots(len(curves), sharex=True, squeeze=False)[:, 0]
    for axes, (name, parts) in zip(panels, curves.items(), strict=True):
        x_label = "step" if axes is panels[-1] else ""
        style.label_axes(axes, CURVES[name], x_label, "nats")
        for part, (steps, values) in parts.items():
            color = style.BLUE if part == "train" else style.ORANGE
            marker = "" if part == "train" and len(steps) > 1 else "o"
            last = values[np.isfinite(values)][-1:]
            # Those of a step are noisy; means lag behind while the curve rises.
            label = f"{part} (means over steps)" if part == "train" else part
            if len(last):
                label += f", last {last[0]:.4g}".replace("-", "−")
            axes.plot(steps, values, color=color, marker=marker, ms=5, label=label)
        axes.set_ylim(_limits(list(parts.values())))
        axes.legend(fontsize=style.TEXT, frameon=False)
    figure.align_ylabels()
    return style.save_figure(figure, path)


def _curves(
    records: Sequence[Mapping[str, float | None]], name: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and values of "train" and "eval", where they have the metric."""
    curves = {}
    for part in ("train", "eval"):
        key = f"{part}/{name}"
        found = [(r["step"], r[key]) for r in records if key in r]
        if found:
            steps, values = np.array(found, float).T  # None becomes NaN
            curves[part] = steps, values
    return curves


def _limits(curves: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float] | None:
    last = max(steps.max() for steps, _ in curves)
    settled = np.concatenate([values[steps >= last / 10] for steps, values in curves])
    settled = settled[np.isfinite(settled)]
    if not len(settled) or not settled.any():
        return None
    low, high = settled.min(), settled.max()
    # A constant, such as the rate of discrete codes, is drawn without its rounding.
    margin = max(0.08 * (high - low), 1e-3 * abs(settled).max())
    return low - margin, high + margin
