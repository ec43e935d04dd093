"""Shapes and sizes of a data set, as far as a model needs them; no values."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from vae_jax.errors import DataError
from vae_jax.ranges import is_count

Levels = Literal["binary", "8bit", "float", "real"]
DRAWN_CHANNELS = (1, 3)  # of an image that can be shown: grey or RGB


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """The form of a data set; models and objectives are built from it.

    It is saved in a run's data.json, so that a model can be built without its data.
    """

    image_shape: tuple[int, int, int]  # (H, W, C)
    levels: Levels  # values of the stored pixels, see `Dataset.levels`
    num_train: int  # training examples
    num_classes: int | None = None  # of the labels, None where they are no classes
    factor_sizes: tuple[int, ...] | None = None  # values of each factor of variation
    factor_names: tuple[str, ...] | None = None

    @property
    def is_rows(self) -> bool:
        """Whether the data are rows of real numbers, kept as images [1, D, 1]."""
        return self.levels == "real"

    @property
    def why_no_pictures(self) -> str | None:
        """Why no picture of the data can be drawn; None where one can."""
        channels = self.image_shape[-1]
        if self.is_rows:
            return "the data are rows of real numbers"
        if channels not in DRAWN_CHANNELS:
            return f"images have {channels} channels, and pictures 1 or 3"
        return None

    def as_stored(self, images: np.ndarray) -> np.ndarray:
        """Images as a file of such data has them: rows without the axes of an image.

        Args:
            images: [..., H, W, C].

        Returns:
            [..., D] where the data are rows, else the images as they are.
        """
        return images[..., 0, :, 0] if self.is_rows else images

    def to_json(self) -> dict[str, object]:
        """The fields by name, with lists for tuples; without names that are not known.

        So it is the same as it was before factors had names.
        """
        fields = dataclasses.asdict(self)
        fields = {k: v for k, v in fields.items() if k not in _LATER or v is not None}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> "DataSpec":
        """The spec whose fields are among the entries of a JSON object.

        Raises:
            DataError: a field is missing, or is what `to_json` never writes.
        """
        found: dict[str, Any] = {}
        for field, (is_good, what) in _FIELDS.items():
            if field not in content and field in _LATER:
                continue
            if field not in content:
                raise DataError(
                    f"there is no {field}; another version of vae_jax wrote this file"
                )
            value = content[field]
            if not is_good(value):
                raise DataError(f"{field} is {value!r}; it must be {what}")
            found[field] = tuple(value) if isinstance(value, list) else value
        return cls(**found)


# Data that exist for no longer than it takes to check a config, when those of the run
# are not known yet: any resolution divides a side of 0 pixels.
ANY_DATA = DataSpec(image_shape=(0, 0, 1), levels="8bit", num_train=1, num_classes=2)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_count, value))


# Of each field: whether a value from a JSON file is good, and what it must be.
_FIELDS = {
    "image_shape": (
        lambda value: _are_counts(value) and len(value) == 3,
        "three whole numbers above 0, [height, width, channels]",
    ),
    "levels": (
        lambda value: isinstance(value, str) and value in get_args(Levels),
        f"one of {', '.join(get_args(Levels))}",
    ),
    "num_train": (is_count, "a whole number above 0"),
    "num_classes": (
        lambda value: value is None or is_count(value),
        "a whole number above 0, or null",
    ),
    "factor_sizes": (
        lambda value: value is None or _are_counts(value),
        "a list of whole numbers above 0, or null",
    ),
    "factor_names": (
        lambda value: value is None or _are_names(value),
        "a list of names, or null",
    ),
}
_LATER = ("factor_names",)  # fields that older files do not have
