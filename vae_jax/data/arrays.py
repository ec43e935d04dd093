"""Arrays of images, or of rows of real numbers, as a data set holds them."""

from collections.abc import Mapping

import numpy as np

from vae_jax.data.description import form_of
from vae_jax.data.examples import image_of, in_parts, with_image
from vae_jax.data.spec import DataSpec
from vae_jax.errors import DataError
from vae_jax.types import Examples


def as_stored(examples: Examples, spec: DataSpec) -> Examples:
    """Images of a user's own as a data set of that form holds them.

    Args:
        examples: what `npz.read_splits` takes from a file: images [N, H, W] or
            [N, H, W, C], uint8, bool, or float in [0, 1], and of binary data uint8 of 0
            and 1 as well as of 0 and 255; or rows of real numbers, [N, D] or
            [N, 1, D, 1]. Or a dict with them as "image", whose other parts stay as they
            are.
        spec: the form of the data.

    Returns:
        The same with images [N, H, W, C], uint8 or float32.

    Raises:
        DataError: they have another shape, or values outside of [0, 1] or not finite.
    """
    array = np.asarray(image_of(examples))
    if spec.is_rows and array.shape[1:] == spec.image_shape:
        array = array[:, 0, :, 0]
    found = stored("images", array, spec)
    if found.shape[1:] != spec.image_shape:
        form = form_of(found.shape[1:], spec.is_rows)
        wanted = form_of(spec.image_shape, spec.is_rows)
        raise DataError(f"images are {form}, but the model is of {wanted}")
    return with_image(examples, found)


def stored(where: str, array: np.ndarray, spec: DataSpec) -> np.ndarray:
    """One array of images or rows, as a data set of that form has them.

    Args:
        where: what holds them, for messages.
        array: what is there.
        spec: the form of the data. Its levels, not the values that happen to be in the
            array, say what a uint8 of 1 means.

    Raises:
        DataError: another shape, dtype or range; or uint8 images up to 1, which may be
            nearly black or black and white, for a model of 8-bit images.
    """
    found = check(where, array, spec.is_rows)
    if not spec.is_rows:
        (found,) = to_bytes_or_float32({"train": found}).values()
    if found.dtype != np.uint8 or found.max() != 1:
        return found
    if spec.levels != "binary":
        raise DataError(
            f"{where}: the largest value of these uint8 images is 1, and the data of"
            " the model reach 255: store bool, or 0 and 255, if they are black and"
            " white"
        )
    return found * np.uint8(255)


def are_rows(array: np.ndarray) -> bool:
    """Whether an array is rows of real numbers, [N, D]."""
    return array.ndim == 2 and array.dtype.kind == "f"


def check(where: str, array: np.ndarray, is_rows: bool) -> np.ndarray:
    """Images or rows as [N, H, W, C].

    Args:
        where: what holds them, for messages.
        array: what is there.
        is_rows: whether it must be rows of real numbers.

    Raises:
        DataError: another shape, dtype or range.
    """
    return _check_rows(where, array) if is_rows else _check_images(where, array)


def _check_rows(where: str, rows: np.ndarray) -> np.ndarray:
    """Rows of real numbers as float32 images, [N, D] -> [N, 1, D, 1]."""
    if not are_rows(rows):
        raise DataError(
            f"{where} is {rows.dtype} of shape {rows.shape}; rows of real numbers are"
            " floats [N, D]"
        )
    if not rows.size:
        raise DataError(f"{where} is empty: shape {rows.shape}")
    with np.errstate(over="ignore"):  # becomes infinite, and is refused
        rows = rows.astype(np.float32)
    if not np.isfinite(rows).all():
        raise DataError(f"{where} holds values that are not finite as float32")
    return rows[:, None, :, None]


def _check_images(where: str, images: np.ndarray) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not 1 <= images.shape[-1] <= 4:
        channels_first = images.ndim == 4 and 1 <= images.shape[1] <= 4
        hint = (
            "; for PyTorch's order [N, C, H, W] store x.transpose(0, 2, 3, 1)"
            if channels_first
            else "; rows of real numbers are floats [N, D]"
            if images.ndim == 2
            else ""
        )
        raise DataError(
            f"{where} has shape {images.shape}; it must be [N, H, W] or [N, H, W, C]"
            f" with C from 1 to 4{hint}"
        )
    if not images.size:
        raise DataError(f"{where} is empty: shape {images.shape}")
    if images.dtype == np.bool_:
        return images * np.uint8(255)
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise DataError(
            f"{where} has dtype {images.dtype}; it must be uint8, bool, or float in"
            " [0, 1]"
        )
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):  # false for NaN too
        raise DataError(
            f"{where} has values from {low:g} to {high:g}; floats must lie in [0, 1]"
            " (or store uint8)"
        )
    return images


def to_bytes_or_float32(images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """uint8 stays; floats become uint8 if they are k/255 in every split."""
    if images["train"].dtype == np.uint8:
        return images
    images = {split: x.astype(np.float32) for split, x in images.items()}
    if all(_is_8bit(x) for x in images.values()):
        return {split: _to_bytes(x) for split, x in images.items()}
    return images


def _is_8bit(images: np.ndarray) -> bool:
    """Multiples of 1/255, up to the rounding of float32."""

    def fits(part: np.ndarray) -> bool:
        scaled = part * np.float32(255)
        return bool((np.abs(scaled - np.rint(scaled)) < 1e-4).all())

    return all(map(fits, in_parts(images)))


def _to_bytes(images: np.ndarray) -> np.ndarray:
    """k/255 as k."""
    parts = [np.rint(part * 255).astype(np.uint8) for part in in_parts(images)]
    return np.concatenate(parts)


def binary_to_8bit(
    name: str, images: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Stores binary images the one way: uint8 of 0 and 1 becomes 0 and 255.

    Only if no image of any split has a value above 1; all else is left alone.

    Args:
        name: what holds them, for messages.
        images: those of each split.

    Raises:
        DataError: the largest value of one split is 1, and that of another above.
    """
    largest = {s: x.max() for s, x in images.items() if x.dtype == np.uint8}
    if len(largest) < len(images):
        return dict(images)
    if max(largest.values()) <= 1:
        return {split: x * np.uint8(255) for split, x in images.items()}
    if 1 in largest.values():
        found = ", ".join(f"{value} in {split}" for split, value in largest.items())
        raise DataError(
            f"{name}: the largest value is {found}: store all images as 0 to 255, or"
            " all as 0 and 1"
        )
    return dict(images)
