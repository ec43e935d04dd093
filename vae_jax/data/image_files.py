"""PNG and JPEG files: one image to an array, a folder of images to a Split."""

import io
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps

from vae_jax.data.dataset import Split
from vae_jax.errors import ConfigError, DataError

FORMATS = ("PNG", "JPEG")
_SUFFIXES = (".png", ".jpg", ".jpeg")
# A few kilobytes of PNG can unpack to gigabytes; Pillow itself only warns.
MAX_PIXELS = 50_000_000

Size = tuple[int, int]  # height, width


def check_image_size(image_size: int | Sequence[int] | None) -> Size | None:
    """(H, W) from an int, a pair or None; ConfigError for anything else."""
    if image_size is None:
        return None
    sides = [image_size] * 2 if isinstance(image_size, int) else image_size
    if isinstance(sides, list | tuple) and len(sides) == 2:
        if all(isinstance(side, int) and side > 0 for side in sides):
            return sides[0], sides[1]
    raise ConfigError(
        f"data.image_size is {image_size!r}; it must be a positive int, a pair"
        " (height, width) of them, or None"
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


def open_image(data: bytes, where: str) -> Image.Image:
    """A PNG or JPEG file, upright and in mode L or RGB.

    The EXIF orientation is applied. A palette becomes RGB, one bit becomes 8. An alpha
    channel is dropped where it is opaque everywhere.

    Raises:
        DataError: another format, damaged, more than `MAX_PIXELS`, transparent,
            16 bits a channel, or a colour space other than grey, palette and RGB.
    """
    try:
        file = Image.open(io.BytesIO(data), formats=FORMATS)
        num_pixels = file.width * file.height
        if num_pixels <= MAX_PIXELS:
            image = ImageOps.exif_transpose(file)  # decodes the pixels
    except Image.UnidentifiedImageError:
        raise DataError(f"{where}: not a PNG or JPEG image") from None
    except Exception as error:  # Pillow raises a dozen types for damaged files
        raise DataError(f"{where}: damaged image ({error})") from error
    if num_pixels > MAX_PIXELS:
        raise DataError(
            f"{where}: {file.width} x {file.height} pixels; the limit is"
            f" {MAX_PIXELS:,} in all"
        )
    if file.format == "PNG" and data[24] == 16:  # IHDR: bits a channel
        raise DataError(f"{where}: 16 bits a channel; convert it to 8 bits")
    if image.has_transparency_data:
        image = image if image.mode == "LA" else image.convert("RGBA")
        if np.asarray(image)[..., -1].min() < 255:
            raise DataError(f"{where}: has transparent pixels; flatten it first")
    if image.mode in ("1", "L", "LA"):
        return image.convert("L")
    if image.mode in ("P", "RGB", "RGBA"):
        return image.convert("RGB")
    raise DataError(
        f"{where}: colour mode {image.mode}; convert it to 8-bit grey or RGB"
    )


def read_folder(
    folder: str, image_size: Size | None = None, grayscale: bool = False
) -> Split:
    """All PNG and JPEG files below a folder, sorted by path.

    Class = name of the sub-folder right below `folder`, label = its place in sorted
    order; no labels when all images lie in `folder` itself. Hidden files and folders
    and other suffixes are skipped. Grey and colour files together become RGB.

    Raises:
        DataError: no folder, no image, an image that can't be read or that has another
            size than the first while `image_size` is None, or images both in `folder`
            and in sub-folders.
    """
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"folder:{folder}: there is no folder {root}")
    paths = sorted(_image_paths(root))
    if not paths:
        raise DataError(
            f"folder:{folder}: no image below {root} ({', '.join(_SUFFIXES)})"
        )
    images: list[np.ndarray] = []
    for path in paths:
        image = fit(open_image(path.read_bytes(), str(path)), image_size, grayscale)
        if images and image.shape[:2] != images[0].shape[:2]:
            raise DataError(
                f"{path} is {_hw(image)}, but {paths[0]} is {_hw(images[0])} (height x"
                " width): set data.image_size"
            )
        images.append(image)
    channels = max(image.shape[2] for image in images)
    stacked = np.empty((len(images), *images[0].shape[:2], channels), np.uint8)
    for row, image in enumerate(images):
        stacked[row] = image  # a grey image is repeated over the channels
    return Split(stacked, _class_labels(root, paths))


def _image_paths(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not hidden:
            yield path


def _class_labels(root: pathlib.Path, paths: list[pathlib.Path]) -> np.ndarray | None:
    parts = [path.relative_to(root).parts for path in paths]
    flat = [path for path, part in zip(paths, parts, strict=True) if len(part) == 1]
    if len(flat) == len(paths):
        return None
    if flat:
        raise DataError(
            f"{flat[0]} lies beside the class folders of {root}; move it into one"
        )
    names = [part[0] for part in parts]
    return np.unique(names, return_inverse=True)[1].astype(np.int32)


def _hw(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
