"""What a data set is: images and labels in three splits."""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Literal

import numpy as np

from vae_jax.errors import DataError

# Keeps the draw of the splits apart from every other use of the same seed.
_SPLIT_STREAM = zlib.crc32(b"vae_jax.data.splits")


@dataclasses.dataclass(frozen=True)
class Split:
    """Images with their labels, if they have any."""

    images: np.ndarray  # [N, H, W, C], uint8, or float32 in [0, 1]
    labels: np.ndarray | None = None  # [N], whole numbers; negative: unlabelled

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> "Split":
        """The examples in these rows."""
        labels = None if self.labels is None else self.labels[rows]
        return Split(self.images[rows], labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An image set in memory; all splits have the same image shape and dtype."""

    name: str
    train: Split
    validation: Split
    test: Split

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def levels(self) -> Literal["binary", "8bit", "float"]:
        """The values that a pixel of any split takes.

        "binary": uint8, 0 and 255 only; "8bit": any other uint8; "float": float32.
        """
        splits = [self.train.images, self.validation.images, self.test.images]
        if splits[0].dtype != np.uint8:
            return "float"
        # A grey test split would be outside the support of a binary likelihood.
        binary = all(((x == 0) | (x == 255)).all() for x in splits)
        return "binary" if binary else "8bit"

    @property
    def fingerprint(self) -> int:
        """crc32 of the bytes of the training and test images, in order."""
        train, test = self.train.images, self.test.images
        crc = zlib.crc32(np.ascontiguousarray(train).data)
        return zlib.crc32(np.ascontiguousarray(test).data, crc)


def complete(
    name: str,
    splits: Mapping[str, Split],
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
) -> Dataset:
    """A Dataset whose missing splits are drawn, without replacement, from train.

    The draw depends on `seed` and the number of training images only; the test split
    does not depend on `validation_fraction`. Order within a split is kept.

    Args:
        name: of the data set.
        splits: "train", and perhaps "validation" and "test".
        seed: of the draw.
        validation_fraction: share of the given train split that becomes the validation
            split, where there is none; in (0, 1).
        test_fraction: the same for the test split.

    Raises:
        DataError: a split would be empty.
    """
    total = len(splits["train"])
    order = np.random.default_rng((seed, _SPLIT_STREAM)).permutation(total)
    drawn, used = {}, 0
    for split, fraction in (
        ("test", test_fraction),
        ("validation", validation_fraction),
    ):
        if split in splits:
            continue
        # Written so that NaN fails too.
        size = round(fraction * total) if 0 < fraction < 1 else 0
        if not 0 < size < total - used:
            raise DataError(
                f"{name}: data.{split}_fraction={fraction} of {total} training images"
                f" leaves the {split} or the train split empty; the fractions of"
                " validation and test must be above 0 and their sum below 1"
            )
        drawn[split] = splits["train"].take(np.sort(order[used : used + size]))
        used += size
    if not used:
        return Dataset(name, **splits)
    train = splits["train"].take(np.sort(order[used:]))
    return Dataset(name, **{**splits, **drawn, "train": train})


def binary_to_8bit(images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Stores binary images the one way: uint8 of 0 and 1 becomes 0 and 255.

    Only if no image of any split has a value above 1; all else is left alone.
    """
    if all(x.dtype == np.uint8 and x.max() <= 1 for x in images.values()):
        return {split: x * np.uint8(255) for split, x in images.items()}
    return dict(images)
