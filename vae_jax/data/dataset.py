"""What a data set is: images and labels in three splits."""

import dataclasses
import functools
import zlib
from collections.abc import Mapping
from typing import Literal

import numpy as np

from vae_jax.data.spec import DataSpec
from vae_jax.errors import DataError, one_line

# Keeps the draw of the splits apart from every other use of the same seed.
_SPLIT_STREAM = zlib.crc32(b"vae_jax.data.splits")
_NAMES_SHOWN = 8  # classes that a line lists by name


@dataclasses.dataclass(frozen=True)
class Split:
    """Images with their labels, if they have any."""

    images: np.ndarray  # [N, H, W, C], uint8, or float32 in [0, 1]
    labels: np.ndarray | None = None  # [N], whole numbers; negative: unlabelled
    files: np.ndarray | None = None  # [N], str: paths below the folder of a source
    # [N], int: where each image stands in the split of the source that it was taken
    # from. None: the split is that of the source.
    source_rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> "Split":
        """The examples in these rows."""
        labels = None if self.labels is None else self.labels[rows]
        files = None if self.files is None else self.files[rows]
        return Split(self.images[rows], labels, files, self.rows[rows])

    @property
    def rows(self) -> np.ndarray:
        """Where each image stands in the split of the source, [N]."""
        if self.source_rows is None:
            return np.arange(len(self))
        return self.source_rows


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An image set in memory; all splits have the same image shape and dtype."""

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...] | None = None  # of the labels 0, 1, ...
    # What a source did to the images that a user should know, a phrase each: files that
    # were skipped, parts that were cut off.
    notes: tuple[str, ...] = ()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def spec(self) -> DataSpec:
        """What a model needs to know of it."""
        return DataSpec(self.image_shape, self.levels, len(self.train))

    @functools.cached_property
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

    @functools.cached_property
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
    if used:
        drawn["train"] = splits["train"].take(np.sort(order[used:]))
    found = {**splits, **drawn}
    return Dataset(name, found["train"], found["validation"], found["test"])


def describe(dataset: Dataset) -> str:
    """One line that says what a data set holds, for a user to see before training.

    For example `folder:PETS: 90 images 16x16x3 in 3 classes (bird, cat, dog): train 72,
    validation 9, test 9; 12 files skipped: 8 .txt, 4 hidden`.
    """
    splits = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    total = sum(map(len, splits.values()))
    shape = "x".join(map(str, dataset.image_shape))
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in splits.items())
    line = f"{total:,} images {shape}{_classes(dataset)}: {sizes}"
    return one_line("; ".join([f"{dataset.name}: {line}", *dataset.notes]))


def _classes(dataset: Dataset) -> str:
    """` in 3 classes (bird, cat, dog)`, as far as that is known."""
    names = dataset.class_names
    if names is not None:
        shown = ", ".join(names[:_NAMES_SHOWN])
        more = len(names) - _NAMES_SHOWN
        shown += f", and {more} more" if more > 0 else ""
        return f" in {counted(len(names), 'class', 'classes')} ({shown})"
    labels = dataset.train.labels
    if labels is None:
        return ""
    count = len(np.unique(labels[labels >= 0]))  # negative: unlabelled
    return f" in {counted(count, 'class', 'classes')}"


def counted(count: int, one: str, several: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {one if count == 1 else several}"


def to_unit_floats(images: np.ndarray) -> np.ndarray:
    """Float32 in [0, 1]: v / 255 of uint8, floats as they are."""
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    return images.astype(np.float32) / np.float32(scale)


def binary_to_8bit(images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Stores binary images the one way: uint8 of 0 and 1 becomes 0 and 255.

    Only if no image of any split has a value above 1; all else is left alone.
    """
    if all(x.dtype == np.uint8 and x.max() <= 1 for x in images.values()):
        return {split: x * np.uint8(255) for split, x in images.items()}
    return dict(images)
