"""The examples of each step, and their preprocessing on the device.

Both are pure functions of (seed, step): there is no iterator whose state could be lost.
"""

import functools
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from vae_jax.data import examples as ex
from vae_jax.data.dataset import to_unit_floats
from vae_jax.data.rendered import Images, Render, drawn
from vae_jax.errors import ConfigError
from vae_jax.types import Array, Key

Binarize = Literal["none", "threshold", "dynamic"]
Preprocess = Callable[[ex.Examples, Key], ex.Examples]
_GROUP_STREAM = zlib.crc32(b"vae_jax.data.groups")


def batch_indices(
    seed: int, start: int, num_steps: int, num_examples: int, batch_size: int
) -> np.ndarray:
    """Rows of the training set for the steps start, ..., start + num_steps - 1.

    Every epoch is a new permutation, seeded with (seed, epoch); what does not fill a
    batch at its end is left out.

    Args:
        seed: seed of the shuffled order.
        start: first step.
        num_steps: how many steps.
        num_examples: size of the training set.
        batch_size: at most num_examples.

    Returns:
        Array [num_steps, batch_size] of int32.
    """
    everything = Group(np.arange(num_examples), batch_size)
    return grouped_indices(seed, start, num_steps, [everything])


class Group(NamedTuple):
    """Rows of the training set of which each batch has a fixed number."""

    rows: np.ndarray  # [n], whole numbers
    batch_size: int  # how many of them a batch has, at most n


def grouped_indices(
    seed: int, start: int, num_steps: int, groups: Sequence[Group]
) -> np.ndarray:
    """`batch_indices` of batches that have a part from each group, in their order.

    Each group has epochs of its own, so that the rows of a small one come more often.

    Args:
        seed: seed of the shuffled orders.
        start: first step.
        num_steps: how many steps.
        groups: the groups.

    Returns:
        Array [num_steps, B] of int32, with B the sum of the groups' batch sizes.
    """
    steps = np.arange(start, start + num_steps)
    parts = []
    for number, (rows, batch_size) in enumerate(groups):
        # The first group has the order of a training set without groups.
        own_seed = (seed, _GROUP_STREAM, number) if number else (seed,)
        per_epoch = len(rows) // batch_size
        part = np.empty((num_steps, batch_size), np.int32)
        for epoch in np.unique(steps // per_epoch):
            order = _orders(own_seed, len(rows))(int(epoch))
            order = order[: per_epoch * batch_size].reshape(per_epoch, batch_size)
            here = steps // per_epoch == epoch
            part[here] = rows[order[steps[here] % per_epoch]]
        parts.append(part)
    return np.concatenate(parts, axis=1)


@functools.lru_cache(maxsize=4)
def _orders(seed: tuple[int, ...], num_examples: int) -> Callable[[int], np.ndarray]:
    """From an epoch to its order of examples; the two last ones are kept.

    An epoch is used many times, and then the next. Each group keeps its own, since a
    small one goes through many epochs during one of a million examples, whose order
    takes tens of milliseconds.
    """

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        everything = np.arange(num_examples, dtype=np.int32)
        return np.random.default_rng((*seed, epoch)).permutation(everything)

    return order


def groups_of(examples: ex.Examples, batch_size: int, num_labelled: int) -> list[Group]:
    """The groups of a training set: one of all rows, or labelled rows and then others.

    Args:
        examples: arrays [N, ...].
        batch_size: B, rows of a batch.
        num_labelled: how many of them are labelled; 0: one group of all rows.

    Raises:
        ConfigError: there are too few labelled rows, or too few others.
    """
    if not num_labelled:
        rows = np.arange(ex.num_examples(examples))
        if not 0 < batch_size <= len(rows):
            raise ConfigError(
                f"data.batch_size={batch_size}: must be above 0, and at most the"
                f" {len(rows)} training images"
            )
        return [Group(rows, batch_size)]
    if not 0 < num_labelled < batch_size:
        raise ConfigError(
            f"data.labelled_batch_size={num_labelled}: must be above 0, and below"
            f" data.batch_size={batch_size}"
        )
    is_labelled = np.asarray(examples["label"]) >= 0
    groups = [
        Group(np.flatnonzero(is_labelled), num_labelled),
        Group(np.flatnonzero(~is_labelled), batch_size - num_labelled),
    ]
    for group, kind in zip(groups, ("labelled", "unlabelled"), strict=True):
        if len(group.rows) < group.batch_size:
            raise ConfigError(
                f"data.labelled_batch_size={num_labelled} of"
                f" data.batch_size={batch_size}: a batch takes {group.batch_size}"
                f" {kind} training images, and there are {len(group.rows)}"
            )
    return groups


@functools.cache
def preprocessor(
    binarize: Binarize = "none",
    dequantize: bool = False,
    render: Render | None = None,
) -> Preprocess:
    """The function from stored images to model input, inside the compiled step.

    Args:
        binarize: "none" gives x = v / 255; "threshold" x = 1 where v / 255 > 1/2;
            "dynamic" x ~ Bernoulli(v / 255), a fresh draw for each key
            (Salakhutdinov and Murray 2008).
        dequantize: x = (v + u) / 256 with u ~ Uniform[0, 1), so that 8-bit levels get
            a density (Theis et al. 2016, arXiv:1511.01844, section 3.1). Only with
            binarize="none".
        render: draws the images from their factors, which the examples then have in
            the place of images, see `Rendering.render`. None: they are images.

    Returns:
        A function (examples, key) -> x, the same one for equal arguments, so that what
        is compiled for one run serves another. The images of the examples are
        [B, ...], uint8 or float32 in [0, 1], or with binarize="none" any float32, which
        then is x; those of x float32 of the same shape. Other parts are handed on as
        they are.
    """

    def preprocess(examples: ex.Examples, key: Key) -> ex.Examples:
        images = ex.image_of(examples)
        if render is not None:
            images = drawn(render, images)
        return ex.with_image(examples, scale(images, key))

    def scale(images: Array, key: Key) -> Array:
        scaled = images.astype(jnp.float32)
        if images.dtype == jnp.uint8:
            scaled = scaled / 255.0
        if binarize == "dynamic":
            return bernoulli(key, scaled)
        if binarize == "threshold":
            return (scaled > 0.5).astype(jnp.float32)
        if dequantize:
            noise = jax.random.uniform(key, scaled.shape)
            return (scaled * 255.0 + noise) / 256.0
        return scaled

    return preprocess


LEVELS = 2**16  # of the random numbers that `bernoulli` compares with


def bernoulli(key: Key, mean: Array) -> Array:
    """x ~ Bernoulli(mean) by 16 random bits each, two from a word of 32.

    Random bits are a seventh of a small network's step, and 8-bit images need no more:
    the probability of a one is off by at most 2^-17.

    Args:
        key: random key for the draw.
        mean: [B, ...], in [0, 1].

    Returns:
        Zeros and ones as float32, [B, ...].
    """
    first, rest = mean.shape[0], math.prod(mean.shape[1:])
    words = jax.random.bits(key, (first, -(-rest // 2)), jnp.uint32)
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(first, -1)
    numbers = halves[:, :rest].reshape(mean.shape).astype(jnp.uint32)
    return (numbers < _threshold(mean)).astype(jnp.float32)


def _threshold(mean: Array) -> Array:
    """How many of the numbers 0, ..., LEVELS - 1 stand for a one."""
    return jnp.round(mean * LEVELS).astype(jnp.uint32)


def binarization_noise(images: Images) -> float:
    """The share of variance in binarised images that comes from the draws.

    Of x ~ Bernoulli(v), with v drawn from all pixels, the variance is E[v] (1 - E[v]),
    and the part E[v (1 - v)] of it comes from the draw: none for values of 0 and 1, all
    of it for an even grey.

    Args:
        images: [N, H, W, C], uint8 or float32 in [0, 1]. About a thousand are looked
            at, evenly spread.

    Returns:
        The share, in [0, 1]; 0 where all pixels are black, or all white.
    """
    some = to_unit_floats(images[:: max(1, len(images) // 1000)])
    mean = float(some.mean(dtype=np.float64))
    square = float(np.square(some).mean(dtype=np.float64))
    variance = mean * (1 - mean)
    return (mean - square) / variance if variance > 0 else 0.0


class InMemoryBatches:
    """A training set that stays on the device; a chunk is a table of row numbers."""

    def __init__(
        self,
        examples: ex.Examples,
        *,
        seed: int,
        batch_size: int,
        labelled_batch_size: int = 0,
        sharding: Sharding | None = None,
        rows_sharding: Sharding | None = None,
    ) -> None:
        """Copies the examples to the device.

        Args:
            examples: arrays [N, ...].
            seed: seed of the shuffled order, see `batch_indices`.
            batch_size: rows per step.
            labelled_batch_size: how many of them are labelled, see `groups_of`.
            sharding: where the examples go; the default device if None.
            rows_sharding: where tables of rows [n, B] go, likewise.
        """
        self._examples = jax.tree.map(lambda leaf: put(leaf, sharding), examples)
        self._groups = groups_of(examples, batch_size, labelled_batch_size)
        self._seed = seed
        self._batch_size = batch_size
        self._rows_sharding = rows_sharding

    def __call__(
        self, start: int, length: int, padded: int
    ) -> tuple[ex.Examples, Array]:
        """The examples and rows [padded, B] of steps start, ..., start + length - 1."""
        rows = np.zeros((padded, self._batch_size), np.int32)
        rows[:length] = grouped_indices(self._seed, start, length, self._groups)
        return self._examples, put(rows, self._rows_sharding)


def put(array: np.ndarray, sharding: Sharding | None) -> Array:
    """Copies an array, of which every process has an equal one, to the devices."""
    if sharding is None:
        return jnp.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)
