"""Images of a user's own for a trained run."""

import dataclasses
import pathlib

import numpy as np

from vae_jax.data import image_folders
from vae_jax.data.npz import read_arrays
from vae_jax.errors import DataError
from vae_jax.runs.opened import Run


@dataclasses.dataclass(frozen=True)
class OwnImages:
    """Images of a user's own, of the shape that a run's model takes."""

    images: np.ndarray  # [N, H, W, C], uint8, or float32 in [0, 1]
    files: np.ndarray | None = None  # [N], str: paths below the folder
    notes: tuple[str, ...] = ()  # what was skipped and cut off, a phrase each


def read_images(run: Run, path: pathlib.Path) -> OwnImages:
    """Reads images of a user's own for a trained model.

    Args:
        run: a trained run.
        path: a folder of image files, or one of them: they are cut and resized to the
            model's images, and turned grey where those are. Or an npz file with the
            array `x_test`, or only one, of the model's own shape.

    Raises:
        DataError: there is no image, one can't be read, or has not the model's shape.
    """
    height, width, channels = run.spec.image_shape
    shape = f"{height}x{width}x{channels}"
    if path.suffix.lower() == ".npz":
        arrays = read_arrays(path)
        if arrays.shape[1:] != run.spec.image_shape:
            other = "x".join(map(str, arrays.shape[1:]))
            raise DataError(
                f"{path}: images are {other}, but {run.workdir} was trained on {shape}"
            )
        return OwnImages(arrays)
    if channels not in (1, 3):
        raise DataError(
            f"{path}: image files are read as grey or RGB, but {run.workdir} was"
            f" trained on images {shape} of {run.config.data.name}: give an npz file"
            f" with an array [N, {height}, {width}, {channels}]"
        )
    found = image_folders.read_images(path, (height, width), channels == 1)
    pixels = np.broadcast_to(found.pixels, (len(found.pixels), *run.spec.image_shape))
    return OwnImages(pixels, np.array([p.as_posix() for p in found.paths]), found.notes)
