"""A data set: images, labels and factors in three splits."""

import dataclasses
import functools
import zlib
from collections.abc import Mapping

import numpy as np

from vae_jax.data.examples import IMAGE, Inputs, in_parts, join
from vae_jax.data.factors import check_factors, sizes_of
from vae_jax.data.labels import Classes, number_labels, why_not_classes
from vae_jax.data.rendered import Images, RenderedImages, stored
from vae_jax.data.spec import DataSpec, Levels
from vae_jax.errors import DataError
from vae_jax.types import Examples

# Keeps the draw of the splits apart from every other use of the same seed.
_SPLIT_STREAM = zlib.crc32(b"vae_jax.data.splits")
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Split:
    """Images with what is known of each."""

    # [N, H, W, C], uint8, or float32 in [0, 1]; rows of real numbers are float32
    # [N, 1, D, 1], and a source that draws its images has `RenderedImages`.
    images: Images
    labels: np.ndarray | None = None  # [N], whole numbers; negative: unlabelled
    files: np.ndarray | None = None  # [N], str: paths below the folder of a source
    # [N], int: where each image stands in the split of the source that it was taken
    # from. None: the split is that of the source.
    source_rows: np.ndarray | None = None
    # [N, F], whole numbers from 0: the factors of variation that made each image.
    factors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> "Split":
        """The examples in these rows."""
        known = {
            "labels": self.labels,
            "files": self.files,
            "source_rows": self.rows,
            "factors": self.factors,
        }
        taken = {name: own[rows] for name, own in known.items() if own is not None}
        return Split(self.images[rows], **taken)

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
    factor_names: tuple[str, ...] | None = None  # of the columns of `Split.factors`
    # Rows of the training images whose label a model is given; None: of all that have
    # one. Measures see all labels.
    labelled: np.ndarray | None = None
    # Whether the images are rows of real numbers, [N, 1, D, 1].
    is_rows: bool = False

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name, "train" first."""
        return {name: getattr(self, name) for name in SPLITS}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @functools.cached_property
    def levels(self) -> Levels:
        """The values that a pixel of any split takes.

        "binary": uint8, 0 and 255 only; "8bit": any other uint8; "float": float32 in
        [0, 1]; "real": float32, any number of a row.
        """
        if self.is_rows:
            return "real"
        if isinstance(self.train.images, RenderedImages):
            return self.train.images.rendering.levels
        images = [np.asarray(split.images) for split in self.splits.values()]
        if images[0].dtype != np.uint8:
            return "float"
        # A grey test split would be outside the support of a binary likelihood.
        parts = (part for x in images for part in in_parts(x))
        binary = all(((part == 0) | (part == 255)).all() for part in parts)
        return "binary" if binary else "8bit"

    @functools.cached_property
    def classes(self) -> Classes | None:
        """The labels of all splits, numbered; None where no split has any."""
        splits = self.splits.values()
        if all(split.labels is None for split in splits):
            return None
        return number_labels(
            {
                name: np.full(len(split), -1) if split.labels is None else split.labels
                for name, split in self.splits.items()
            }
        )

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels as the data have them, ascending, by the number of their class."""
        return () if self.classes is None else tuple(self.classes.values.tolist())

    @functools.cached_property
    def why_no_classes(self) -> str | None:
        """Why the labels are no classes to learn from; None where they are."""
        if self.classes is None:
            return "no image has a label"
        return why_not_classes(self.classes, len(self.train))

    @functools.cached_property
    def spec(self) -> DataSpec:
        """The form of the data, all that a model is built from."""
        num_classes = None
        if self.classes is not None and not self.why_no_classes:
            num_classes = len(self.classes.values)
        return DataSpec(
            self.image_shape,
            self.levels,
            len(self.train),
            num_classes,
            sizes_of([split.factors for split in self.splits.values()]),
            self.factor_names,
        )

    def examples(self, split: str, inputs: Inputs = IMAGE) -> Examples:
        """The examples of a split for a model, before preprocessing.

        Args:
            split: "train", "validation" or "test".
            inputs: names of the parts, from `examples.inputs`.

        Returns:
            The images [N, H, W, C], or a dict of these and the other parts: "label"
            [N], int32, numbered as in `classes`, -1 for training images that are not
            among the `labelled`; "factors" [N, F], int32. In the place of images that
            are drawn stand the factors [N, F] that they are drawn from.

        Raises:
            DataError: there is no such part.
        """
        own = self.splits[split]
        parts: dict[str, np.ndarray] = {}
        for name in inputs:
            if name == "image":
                parts[name] = stored(own.images)
            elif name == "label":
                if self.classes is None or self.why_no_classes:
                    raise DataError(
                        f"{self.name}: the model is given a label with each image, but"
                        f" {self.why_no_classes}"
                    )
                parts[name] = self.classes.numbers[split]
                if split == "train" and self.labelled is not None:
                    known = np.isin(np.arange(len(own)), self.labelled)
                    parts[name] = np.where(known, parts[name], np.int32(-1))
            elif own.factors is None:
                raise DataError(
                    f"{self.name}: the model is given the factors of each image, but"
                    " none are known"
                )
            else:
                parts[name] = own.factors.astype(np.int32)
        return join(parts)

    @functools.cached_property
    def fingerprint(self) -> int:
        """crc32 of the bytes of the training and test images, in order.

        Where they are drawn, of the name of the set and of their factors.
        """
        is_drawn = isinstance(self.train.images, RenderedImages)
        start = zlib.crc32(self.name.encode()) if is_drawn else 0
        return _crc32(stored(self.train.images), stored(self.test.images), start=start)

    @functools.cached_property
    def label_fingerprint(self) -> int:
        """crc32 of the labels of the training and test images, in order; 0: none."""
        if self.classes is None:
            return 0
        values, numbers = self.classes
        return _crc32(values, numbers["train"], numbers["test"])


def _crc32(*arrays: np.ndarray, start: int = 0) -> int:
    """crc32 of the bytes of some arrays, one after the other."""
    crc = start
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array).data, crc)
    return crc


def complete(
    name: str,
    splits: Mapping[str, Split],
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
    factor_names: tuple[str, ...] | None = None,
) -> Dataset:
    """A Dataset whose missing splits are drawn, without replacement, from train.

    The draw depends on `seed` and the number of training images only; the test split
    does not depend on `validation_fraction`. Order within a split is kept.

    Args:
        name: name of the data set, for messages.
        splits: "train", and perhaps "validation" and "test".
        seed: seed for the draw of missing splits.
        validation_fraction: share of the given train split that becomes the validation
            split, where there is none; in (0, 1).
        test_fraction: the same for the test split.
        factor_names: names of the factors of variation.

    Raises:
        DataError: a split would be empty, or factors do not fit the images.
    """
    check_factors(
        name,
        {split: own.factors for split, own in splits.items()},
        {split: len(own) for split, own in splits.items()},
        factor_names,
    )
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
                f" leaves {size} for the {split} split and {total - used - size} for"
                " training; each needs one or more, from more images or by fractions"
                " above 0 with a sum below 1"
            )
        drawn[split] = splits["train"].take(np.sort(order[used : used + size]))
        used += size
    if used:
        drawn["train"] = splits["train"].take(np.sort(order[used:]))
    found = {**splits, **drawn}
    return Dataset(
        name,
        found["train"],
        found["validation"],
        found["test"],
        factor_names=factor_names,
    )


def to_unit_floats(images: Images) -> np.ndarray:
    """Float32 in [0, 1]: v / 255 of uint8, floats as they are."""
    pixels = np.asarray(images)
    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    return pixels.astype(np.float32) / np.float32(scale)
