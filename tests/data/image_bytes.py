"""Made images, and the bytes of files that hold them."""

import io

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (28, 28), np.uint8)
COLOUR = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)


def encoded(pixels: np.ndarray, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.squeeze(pixels)).save(file, format, **options)
    return file.getvalue()


def image_of(mode: str, size: tuple[int, int] = (8, 8), format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, format)
    return file.getvalue()


def examples(images: np.ndarray, **features) -> list[tuple[int, dict]]:
    """Images and their other features, as `prepare.build_offline` takes a split."""
    return [
        (i, {"image": encoded(image)} | {k: v[i] for k, v in features.items()})
        for i, image in enumerate(images)
    ]


def same_rows(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal as multisets of images."""
    return sorted(x.tobytes() for x in a) == sorted(x.tobytes() for x in b)
