"""Work on many rows a few at a time, inside a compiled program."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def map_chunks(f: Callable[[Any], Any], rows: Any, chunk_size: int) -> Any:
    """`f(rows)` for a function of a batch, computed chunk by chunk to save memory.

    The last chunk is filled up with copies of the first row, whose results are dropped.

    Args:
        f: takes a pytree of arrays [c, ...] and gives one of arrays [c, ...]; row i of
            the result belongs to row i of the input.
        rows: pytree of arrays [n, ...], n at least 1.
        chunk_size: c.

    Returns:
        Pytree of arrays [n, ...].
    """
    num_rows = jax.tree.leaves(rows)[0].shape[0]
    chunk_size = min(chunk_size, num_rows)
    num_chunks = -(-num_rows // chunk_size)
    missing = num_chunks * chunk_size - num_rows

    def cut(leaf: Any) -> Any:
        filled = jnp.concatenate([leaf, jnp.repeat(leaf[:1], missing, axis=0)])
        return filled.reshape(num_chunks, chunk_size, *leaf.shape[1:])

    mapped = jax.lax.map(f, jax.tree.map(cut, rows))
    return jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_rows], mapped
    )


def even_rows(num_rows: int, count: int) -> np.ndarray:
    """At most `count` row numbers, evenly spread over 0, ..., num_rows - 1.

    The order of a split may mean something (the first half of MNIST's test images is
    easier than the second), so a part of a split is not its head.
    """
    rows = np.linspace(0, num_rows - 1, min(count, num_rows))
    return rows.round().astype(np.int32)
