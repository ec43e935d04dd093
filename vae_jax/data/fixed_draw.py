"""Preprocessing for evaluation: each image has one draw, which is always the same."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data.batches import Preprocess
from vae_jax.data.examples import take
from vae_jax.types import AnyArray, Array, Examples, Key

ROWS_AT_ONCE = 128


def fixed_draw(
    preprocess: Preprocess, key: Key
) -> Callable[[Examples, AnyArray], Examples]:
    """The evaluation form of a preprocessor: one draw per image, always the same.

    Whatever the number of images, they go through one program, 128 at a time; those of
    a split go through the one of another, too.

    Args:
        preprocess: from `preprocessor`.
        key: random key for the draw; image i gets a key folded from i, so the draw
            does not depend on how the split is cut into chunks.

    Returns:
        A function (examples [n, ...], their rows [n], n at least 1) -> x [n, ...].
    """

    def draw(examples: Examples, rows: AnyArray) -> Examples:
        host = jax.tree.map(np.asarray, examples)
        numbers = np.asarray(rows, np.int32)
        parts = []
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            # The last part repeats the last row.
            at = np.arange(start, start + ROWS_AT_ONCE).clip(max=len(numbers) - 1)
            parts.append(_draw(preprocess, key, take(host, at), numbers[at]))
        whole = jax.tree.map(
            lambda *leaves: np.concatenate(leaves)[: len(numbers)],
            *jax.device_get(parts),
        )
        return jax.tree.map(jnp.asarray, whole)

    return draw


@functools.partial(jax.jit, static_argnums=0)
def _draw(
    preprocess: Preprocess, key: Key, examples: Examples, rows: Array
) -> Examples:
    keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)
    return jax.vmap(preprocess)(examples, keys)
