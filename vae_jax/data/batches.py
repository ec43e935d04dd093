"""The examples of each step, and their preprocessing on the device.

Both are pure functions of (seed, step): there is no iterator whose state could be lost.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from vae_jax.data import examples as ex
from vae_jax.data.dataset import to_unit_floats
from vae_jax.data.rendered import Images, Render, drawn
from vae_jax.types import Array, Key

Binarize = Literal["none", "threshold", "dynamic"]
Preprocess = Callable[[ex.Examples, Key], ex.Examples]


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
    per_epoch = num_examples // batch_size
    steps = np.arange(start, start + num_steps)
    indices = np.empty((num_steps, batch_size), np.int32)
    for epoch in np.unique(steps // per_epoch):
        order = _epoch_order(seed, int(epoch), num_examples)[: per_epoch * batch_size]
        here = steps // per_epoch == epoch
        indices[here] = order.reshape(per_epoch, batch_size)[steps[here] % per_epoch]
    return indices


@functools.lru_cache(maxsize=2)  # an epoch is used many times, and then the next
def _epoch_order(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(num_examples)


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
        A function (examples, key) -> x. The images of the examples are [B, ...], uint8
        or float32 in [0, 1]; those of x float32 of the same shape. Other parts are
        handed on as they are.
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
            return jax.random.bernoulli(key, scaled).astype(jnp.float32)
        if binarize == "threshold":
            return (scaled > 0.5).astype(jnp.float32)
        if dequantize:
            noise = jax.random.uniform(key, scaled.shape)
            return (scaled * 255.0 + noise) / 256.0
        return scaled

    return preprocess


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


def fixed_draw(
    preprocess: Preprocess, key: Key
) -> Callable[[ex.Examples, Array], ex.Examples]:
    """The evaluation form of a preprocessor: one draw per image, always the same.

    Args:
        preprocess: from `preprocessor`.
        key: random key for the draw; image i gets a key folded from i, so the draw
            does not depend on how the split is cut into chunks.

    Returns:
        A function (examples [B, ...], their rows [B]) -> x [B, ...].
    """

    def draw(examples: ex.Examples, rows: Array) -> ex.Examples:
        keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)
        return jax.vmap(preprocess)(examples, keys)

    return draw


class InMemoryBatches:
    """A training set that stays on the device; a chunk is a table of row numbers."""

    def __init__(
        self,
        examples: ex.Examples,
        *,
        seed: int,
        batch_size: int,
        sharding: Sharding | None = None,
        rows_sharding: Sharding | None = None,
    ) -> None:
        """Copies the examples to the device.

        Args:
            examples: arrays [N, ...].
            seed: seed of the shuffled order, see `batch_indices`.
            batch_size: rows per step.
            sharding: where the examples go; the default device if None.
            rows_sharding: where tables of rows [n, B] go, likewise.
        """
        self._examples = jax.tree.map(lambda leaf: put(leaf, sharding), examples)
        self._num_examples = ex.num_examples(examples)
        self._seed = seed
        self._batch_size = batch_size
        self._rows_sharding = rows_sharding

    def __call__(
        self, start: int, length: int, padded: int
    ) -> tuple[ex.Examples, Array]:
        """The examples and rows [padded, B] of steps start, ..., start + length - 1."""
        rows = np.zeros((padded, self._batch_size), np.int32)
        rows[:length] = batch_indices(
            self._seed, start, length, self._num_examples, self._batch_size
        )
        return self._examples, put(rows, self._rows_sharding)


def put(array: np.ndarray, sharding: Sharding | None) -> Array:
    """Copies an array, of which every process has an equal one, to the devices."""
    if sharding is None:
        return jnp.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)
