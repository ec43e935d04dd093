"""One image file to an array: PNG, JPEG, WebP, BMP and TIFF."""

import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from vae_jax.errors import ConfigError, DataError

SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
# A few kilobytes of PNG can unpack to gigabytes; Pillow itself only warns.
MAX_PIXELS = 50_000_000
# More than so many pixels need in any of the formats, RGBA without compression.
MAX_BYTES = 256 * 2**20
GREY = ("1", "L", "LA", "La")  # modes of Pillow
_TIFF_BITS_A_CHANNEL = 258

Size = tuple[int, int]  # height, width


class Picture(NamedTuple):
    """The content of an image file."""

    pixels: np.ndarray  # [H, W, C], uint8; C is 1 or 3
    left_out: float  # share of the image that was cut off
    num_frames: int  # that the file holds; the first one is read


def check_image_size(image_size: int | Sequence[int] | None) -> Size | None:
    """(H, W) from an int, a pair or None; ConfigError for anything else."""
    if image_size is None:
        return None
    sides: Sequence[Any] = (
        image_size if isinstance(image_size, list | tuple) else [image_size] * 2
    )
    if len(sides) == 2 and all(type(side) is int and side > 0 for side in sides):
        return sides[0], sides[1]
    shown = str(image_size).strip("()[]").replace(" ", "")
    raise ConfigError(
        f"data.image_size={shown}: must be a whole number above 0, or two of them,"
        " height,width; 0 leaves images as they are"
    )


def fit(image: Image.Image, image_size: Size | None, grayscale: bool) -> np.ndarray:
    """The image as an array, after the options of `load_dataset`.

    Args:
        image: mode L or RGB.
        image_size: target (H, W): the largest centred part of that aspect is cut out
            and resized with an antialiased triangle filter, which, unlike Lanczos or
            cubic filters, leaves no halos beside edges. None: as it is.
        grayscale: luma 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2).

    Returns:
        Array [H, W, C] of uint8; C is 1 for mode L, 3 for RGB.
    """
    if grayscale:
        image = image.convert("L")
    if image_size is not None:
        height, width = image_size
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def share_left_out(width: int, height: int, image_size: Size | None) -> float:
    """The share of an image's area that `fit` cuts off, in [0, 1)."""
    if image_size is None:
        return 0.0
    ratio = (width * image_size[0]) / (height * image_size[1])
    return 1.0 - min(ratio, 1.0 / ratio)


def read_image(
    path: pathlib.Path, image_size: Size | None = None, grayscale: bool = False
) -> Picture:
    """Reads one file; of an animation or a file of several pages the first image.

    Args:
        path: image file to read.
        image_size: see `fit`.
        grayscale: likewise.

    Raises:
        DataError: it is larger than `MAX_BYTES`, or `open_image` refuses it.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise DataError(
                f"{path}: {size:,} bytes; an image file may have {MAX_BYTES:,}"
            )
        image, num_frames = open_image(file, str(path))
    cut = share_left_out(image.width, image.height, image_size)
    return Picture(fit(image, image_size, grayscale), cut, num_frames)


def open_image(file: BinaryIO, where: str) -> tuple[Image.Image, int]:
    """An image, upright and in mode L or RGB, and the number of images in its file.

    The EXIF orientation is applied. A palette becomes RGB, one bit becomes 8. An alpha
    channel is dropped where it is opaque everywhere.

    Args:
        file: image in a format of `SUFFIXES`; only its header is read before the
            number of pixels is checked.
        where: what errors call it.

    Raises:
        DataError: another format, damaged, more than `MAX_PIXELS`, transparent,
            16 bits a channel, or a colour space other than grey, palette and RGB.
    """
    try:
        # Pillow warns of much that is either harmless or refused below.
        with warnings.catch_warnings(action="ignore"):
            opened = Image.open(file, formats=list(SUFFIXES))
            num_pixels = opened.width * opened.height
            if num_pixels <= MAX_PIXELS:
                bits = _bits_a_channel(opened, file)
                num_frames = getattr(opened, "n_frames", 1)
                image = ImageOps.exif_transpose(opened)  # decodes the pixels
    except Image.UnidentifiedImageError:
        raise DataError(
            f"{where}: not a PNG or JPEG image, nor WebP, BMP or TIFF"
        ) from None
    except Image.DecompressionBombError as error:  # which Pillow raises by itself
        raise DataError(f"{where}: more than {MAX_PIXELS:,} pixels: {error}") from None
    except Exception as error:  # Pillow raises a dozen types for damaged files
        raise DataError(f"{where}: damaged image ({error})") from error
    if num_pixels > MAX_PIXELS:
        raise DataError(
            f"{where}: {opened.width} x {opened.height} pixels; the limit is"
            f" {MAX_PIXELS:,} in all"
        )
    if bits > 8:
        raise DataError(f"{where}: {bits} bits a channel; convert it to 8 bits")
    if image.has_transparency_data:
        alpha = image.convert("LA" if image.mode in GREY else "RGBA")
        if np.asarray(alpha)[..., -1].min() < 255:
            raise DataError(
                f"{where}: has transparent pixels, and image files are read as grey or"
                " RGB: flatten it onto a background first, or store arrays of 4"
                " channels as npz"
            )
        image = alpha
    if image.mode in GREY:
        return image.convert("L"), num_frames
    if image.mode in ("P", "RGB", "RGBA"):
        return image.convert("RGB"), num_frames
    raise DataError(
        f"{where}: colour mode {image.mode}; convert it to 8-bit grey or RGB"
    )


def _bits_a_channel(image: Image.Image, file: BinaryIO) -> int:
    """Depth in the file; Pillow gives 16-bit RGB as 8 bits without a word."""
    if image.format == "PNG":
        place = file.tell()
        file.seek(24)  # IHDR
        (bits,) = file.read(1)
        file.seek(place)
        return bits
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(_TIFF_BITS_A_CHANNEL, (1,)))
    return 8
