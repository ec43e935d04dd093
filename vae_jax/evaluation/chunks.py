"""Work on many rows a few at a time, so that memory does not grow with their number."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.types import Array, PyTree

Progress = Callable[[int, int], None]  # (rows done, rows in all)

Tree = TypeVar("Tree")  # a pytree of arrays


def row_chunks(
    num_rows: int, chunk_size: int, progress: Progress | None = None
) -> Iterator[tuple[np.ndarray, int]]:
    """Row numbers 0, ..., num_rows - 1 in chunks of one length.

    The last chunk repeats the last row: one shape needs one compilation.

    Args:
        num_rows: how many rows, at least 1.
        chunk_size: how many of them at a time; fewer if there are fewer.
        progress: called with (rows done, num_rows) after each chunk.

    Yields:
        Row numbers [chunk_size] and how many of them, from the first, are new.
    """
    chunk_size = min(chunk_size, num_rows)
    for start in range(0, num_rows, chunk_size):
        done = min(start + chunk_size, num_rows)
        rows = np.arange(start, start + chunk_size, dtype=np.int32)
        yield np.minimum(rows, num_rows - 1), done - start
        if progress is not None:
            progress(done, num_rows)


def map_rows(
    f: Callable[[np.ndarray], PyTree],
    num_rows: int,
    chunk_size: int,
    progress: Progress | None = None,
) -> PyTree:
    """`f(rows)` of all rows as NumPy arrays, computed chunk by chunk.

    Args:
        f: row numbers [c] -> pytree of arrays [c, ...].
        num_rows: n, at least 1.
        chunk_size: c.
        progress: called with (rows done, n) after each chunk.

    Returns:
        A pytree of NumPy arrays [n, ...].
    """
    chunks = row_chunks(num_rows, chunk_size, progress)
    parts = [jax.device_get(f(rows)) for rows, _ in chunks]
    return jax.tree.map(lambda *values: np.concatenate(values)[:num_rows], *parts)


def map_chunks(f: Callable[[Tree], PyTree], rows: Tree, chunk_size: int) -> PyTree:
    """`f(rows)` for a function of a batch, chunk by chunk inside a compiled program.

    The last chunk is filled up with copies of the first row, whose results are dropped.

    Args:
        f: takes a pytree of arrays [c, ...] and gives one of arrays [c, ...]; row i of
            the result belongs to row i of the input.
        rows: pytree of arrays [n, ...], n at least 1.
        chunk_size: c.

    Returns:
        A pytree of arrays [n, ...].
    """
    num_rows = jax.tree.leaves(rows)[0].shape[0]
    chunk_size = min(chunk_size, num_rows)
    num_chunks = -(-num_rows // chunk_size)
    missing = num_chunks * chunk_size - num_rows

    def cut(leaf: Array) -> Array:
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
