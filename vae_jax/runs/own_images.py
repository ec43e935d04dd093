"""Images of a user's own for a trained run."""

import dataclasses
import pathlib

import numpy as np

from vae_jax.data import image_folders
from vae_jax.data.description import form_of
from vae_jax.data.examples import image_of, inputs
from vae_jax.data.npz import read_arrays, read_known
from vae_jax.errors import ConfigError, DataError
from vae_jax.runs.asked_labels import class_numbers
from vae_jax.runs.opened import Run
from vae_jax.types import Examples


@dataclasses.dataclass(frozen=True)
class OwnImages:
    """Images of a user's own, of the shape that a run's model takes."""

    # [N, H, W, C], uint8, or float32 in [0, 1]; or, for a model that is given labels, a
    # dict of them and the numbers of their classes.
    examples: Examples
    files: np.ndarray | None = None  # [N], str: paths below the folder
    labels: np.ndarray | None = None  # [N], whole numbers, as their files have them
    class_names: tuple[str, ...] | None = None  # of the labels 0, 1, ...
    factors: np.ndarray | None = None  # [N, F], whole numbers from 0
    factor_names: tuple[str, ...] | None = None  # F
    notes: tuple[str, ...] = ()  # what was skipped and cut off, a phrase each

    @property
    def images(self) -> np.ndarray:
        """[N, H, W, C], uint8, or float32 in [0, 1]."""
        return image_of(self.examples)


def read_images(run: Run, path: pathlib.Path) -> OwnImages:
    """Reads images of a user's own for a trained model.

    Args:
        run: a trained run.
        path: a folder of image files, or one of them: they are cut and resized to the
            model's images, and turned grey where those are; sub-folders are classes.
            Or an npz file with the array `x_test`, or only one, of the model's own
            shape, or rows of as many numbers; for a conditional model also their labels
            `y_test`. It may have `factors_test` and `factor_names`.

    Raises:
        DataError: there is no image, one can't be read, has not the model's shape, or
            has no label that a conditional model knows.
    """
    height, width, channels = run.spec.image_shape
    is_rows = run.spec.is_rows
    if path.suffix.lower() == ".npz":
        arrays = read_arrays(path, run.spec)
        if arrays.shape[1:] != run.spec.image_shape:
            expected = form_of(run.spec.image_shape, is_rows)
            raise DataError(
                f"{path}: it holds {form_of(arrays.shape[1:], is_rows)}, but"
                f" {run.workdir} was trained on {expected}"
            )
        known = read_known(path, len(arrays))
        examples = _with_labels(run, path, arrays, known.labels)
        return OwnImages(examples, **known._asdict())
    if run.spec.why_no_pictures:
        shape = f"[N, {width}]" if is_rows else f"[N, {height}, {width}, {channels}]"
        raise DataError(
            f"{path}: image files are read as grey or RGB, but {run.workdir} was"
            f" trained on {form_of(run.spec.image_shape, is_rows)} of"
            f" {run.config.data.name}: give an npz file with an array {shape}"
        )
    found = image_folders.read_images(path, (height, width), channels == 1)
    pixels = np.broadcast_to(found.pixels, (len(found.pixels), *run.spec.image_shape))
    labels, class_names = image_folders.classes_of(found.paths) or (None, None)
    return OwnImages(
        # The names of the classes that the model knows are not kept with a run.
        _with_labels(run, path, pixels, None),
        files=np.array([p.as_posix() for p in found.paths]),
        labels=labels,
        class_names=class_names,
        notes=found.notes,
    )


def _with_labels(
    run: Run, path: pathlib.Path, images: np.ndarray, labels: np.ndarray | None
) -> Examples:
    """Images as the run's model is given them: with labels where it asks for those.

    Only a conditional model needs them: for others -1 says that there are none.
    """
    names = inputs(run.model)
    if "factors" in names:
        raise DataError(
            f"{path}: the model of {run.workdir} is given the factors of each image,"
            " which images of your own do not have"
        )
    if "label" not in names:
        return images
    is_conditional = run.trained.conditions_on is not None
    if labels is None:
        if is_conditional:
            raise DataError(
                f"{path}: the model of {run.workdir} is given the label of each image:"
                " give an npz file with images x_test and labels y_test"
            )
        labels = np.full(len(images), -1)
    numbers = np.full(len(images), -1, np.int32)
    asked = np.flatnonzero((labels >= 0) | is_conditional)
    try:
        name = f"{path}: y_test holds a label"
        numbers[asked] = class_numbers(run.labels, labels[asked].tolist(), name)
    except ConfigError as error:
        raise DataError(str(error)) from error
    return {"image": images, "label": numbers}
