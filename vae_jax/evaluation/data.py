"""What a measure is given of a data set."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from vae_jax.data.examples import image_of
from vae_jax.evaluation.chunks import even_rows
from vae_jax.evaluation.classifier import Classifier, fit_classifier
from vae_jax.types import Array, Examples, Key

MAX_TRAIN = 20_000  # training images that the classifier and the comparisons see
MANY_TRAIN = 60_000  # that the better classifier sees


@dataclasses.dataclass(frozen=True)
class Split:
    """Examples as a model sees them, a few rows at a time."""

    draw: Callable[[np.ndarray], Examples]
    """(rows [n]) -> x [n, ...]; the same binarisation or noise at every call."""

    rows: np.ndarray
    """[N]: which rows belong to it."""

    classes: np.ndarray | None = None
    """[N] int: labels as 0, ..., num_classes - 1, negative where there is none."""

    factors: np.ndarray | None = None
    """[N, F] int: values of the factors of variation."""

    def __len__(self) -> int:
        return len(self.rows)

    def x(self, rows: np.ndarray | None = None) -> Examples:
        """Some examples, or all, as the model takes them, [n, ...]."""
        return self.draw(self.rows if rows is None else self.rows[rows])

    def images(self, rows: np.ndarray | None = None) -> Array:
        """The images of some examples, or of all, as the model sees them, [n, ...]."""
        return image_of(self.x(rows))

    def some(self, count: int) -> "Split":
        """At most `count` of its examples, evenly spread over the split."""
        kept = even_rows(len(self), count)
        classes = None if self.classes is None else self.classes[kept]
        factors = None if self.factors is None else self.factors[kept]
        return Split(self.draw, self.rows[kept], classes, factors)


@dataclasses.dataclass(frozen=True)
class Data:
    """The examples that a model was trained on, and those that it is measured on."""

    train: Split
    heldout: Split
    num_classes: int = 0
    """Labels that a classifier can know; 0: none."""

    classifier_key: Key | None = None
    """Random key for the training of that classifier."""

    labels: tuple[int, ...] = ()
    """The labels as the data have them, by the number of their class."""

    dequantized: bool = False
    """Whether x is (v + u) / 256 with v an 8-bit level and noise u in [0, 1)."""

    labelled: np.ndarray | None = None
    """Rows of the training split whose labels the model was given; None: of all that
    have one."""

    measures_training: bool = False
    """Whether the held-out examples are those of the training split."""

    @functools.cached_property
    def classifier(self) -> Classifier | None:
        """A classifier of the labels, trained once for all models, or None."""
        return self._fit(self._with_label, MAX_TRAIN)

    @functools.cached_property
    def better_classifier(self) -> Classifier | None:
        """One of more images and units, for what depends on each single label."""
        return self._fit(
            self._with_label, MANY_TRAIN, hidden_dims=(256,), num_steps=2000
        )

    @functools.cached_property
    def plain_classifier(self) -> Classifier | None:
        """The same classifier trained on the `labelled` images only, or None."""
        if self.labelled is None:
            return self.classifier
        return self._fit(self.labelled, MAX_TRAIN)

    @property
    def _with_label(self) -> np.ndarray | None:
        """The training images that have a label, whether the model sees it or not."""
        train = self.train.classes
        return None if train is None else np.flatnonzero(train >= 0)

    def _fit(
        self, labelled: np.ndarray | None, most: int, **sizes: Any
    ) -> Classifier | None:
        """A classifier of the labels of these training images; None without labels.

        There must be some in training, and among the images that it is tested on.
        """
        train, heldout = self.train.classes, self.heldout.classes
        if not self.num_classes or heldout is None or train is None or labelled is None:
            return None
        rows = labelled[even_rows(len(labelled), most)]
        heldout_rows = np.flatnonzero(heldout >= 0)
        if not len(heldout_rows):
            return None
        assert self.classifier_key is not None
        images = self.train.images(rows)
        is_unit = bool((images >= 0).all() and (images <= 1).all())
        return fit_classifier(
            images,
            train[rows],
            self.heldout.images(heldout_rows),
            heldout[heldout_rows],
            self.classifier_key,
            num_classes=self.num_classes,
            standardize=not is_unit,  # rows of real numbers may lie anywhere
            **sizes,
        )
