"""Images as arrays, laid out in a grid."""

import math

import numpy as np

from vae_jax.errors import DataError


def check_images(images: np.ndarray, axes: str) -> np.ndarray:
    """Checks shape and range, and clips to [0, 1].

    Args:
        images: floats, or integers and booleans that are 0 and 1.
        axes: the expected axes, one letter each, the last three being "HWC".

    Returns:
        Float array of the same shape, in [0, 1].

    Raises:
        DataError: another number of axes, no images, C neither 1 nor 3, values that
            are not finite, or integers above 1.
    """
    images = np.asarray(images)
    expected = f"[{','.join(axes)}] with C = 1 or 3"
    if images.ndim != len(axes) or images.shape[-1] not in (1, 3) or not images.size:
        raise DataError(f"images have shape {list(images.shape)}, not {expected}")
    if not np.issubdtype(images.dtype, np.floating) and images.max() > 1:
        raise DataError(
            f"images are {images.dtype} up to {images.max()}: scale to 0..1"
        )
    if not np.isfinite(images).all():
        raise DataError("images hold values that are not finite")
    return np.clip(images, 0.0, 1.0).astype(np.float32)


def image_grid(
    images: np.ndarray, columns: int | None = None, pad: int = 1
) -> np.ndarray:
    """Lays images out row by row, with white lines between them.

    Args:
        images: [N, H, W, C], values in [0, 1]; others are clipped.
        columns: images in a row; the smallest near-square grid by default.
        pad: width of the lines, in pixels.

    Returns:
        [R*H + (R-1)*pad, columns*W + (columns-1)*pad, C] where R = ceil(N / columns).

    Raises:
        DataError: the images are none, or not images; see `check_images`.
    """
    images = check_images(images, "NHWC")
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    shape = (rows * (height + pad), columns * (width + pad), channels)
    grid = np.ones(shape, np.float32)
    for n, image in enumerate(images):
        top, left = n // columns * (height + pad), n % columns * (width + pad)
        grid[top : top + height, left : left + width] = image
    return grid[: shape[0] - pad, : shape[1] - pad]
