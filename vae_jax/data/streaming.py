"""Batches of a training set that is too large for the device, read ahead by grain.

The order is that of `batches.grouped_indices`, so the batch of step t is a function of
(seed, t): no iterator has to be saved, and a run can resume at any step.
"""

from collections.abc import Iterator
from typing import Any

import grain
import jax
import numpy as np
from jax.sharding import Sharding

from vae_jax.data.batches import grouped_indices, groups_of
from vae_jax.data.examples import take
from vae_jax.types import Examples

THREADS = 4  # threads that gather examples


class StreamedBatches:
    """A training set in host memory; a chunk holds the batches of its steps."""

    def __init__(
        self,
        examples: Examples,
        *,
        seed: int,
        batch_size: int,
        num_steps: int,
        read_ahead: int,
        labelled_batch_size: int = 0,
        sharding: Sharding,
    ) -> None:
        """Prepares the stream without reading.

        Args:
            examples: arrays [N, ...].
            seed: seed of the shuffled order, see `batch_indices`.
            batch_size: B, rows per step.
            num_steps: length of the training.
            read_ahead: number of steps whose batches are gathered in advance.
            labelled_batch_size: how many rows of a batch are labelled, see
                `batches.groups_of`.
            sharding: sharding of the batches [n, B, ...], along B only; each process
                gathers what its devices need.
        """
        self._sharding = sharding
        self._examples, self._batch_size = examples, batch_size
        indices = sharding.addressable_devices_indices_map((1, batch_size))
        ranges = [index[1].indices(batch_size) for index in indices.values() if index]
        self._columns = slice(min(r[0] for r in ranges), max(r[1] for r in ranges))
        self._groups = groups_of(examples, batch_size, labelled_batch_size)
        self._seed, self._num_steps = seed, num_steps
        self._options = grain.ReadOptions(
            num_threads=THREADS, prefetch_buffer_size=max(read_ahead, THREADS)
        )
        self._iterator: Iterator[Examples] = iter(())
        self._next_step = -1

    def __call__(self, start: int, length: int, padded: int) -> tuple[Examples, None]:
        """Batches [padded, B, ...] of steps start, ..., start + length - 1."""
        if start != self._next_step:
            steps = grain.MapDataset.range(start, self._num_steps).map(self._batch)
            self._iterator = iter(steps.to_iter_dataset(self._options))
        self._next_step = start + length
        first = self._columns.start
        size = self._columns.stop - first

        def empty(leaf: np.ndarray) -> np.ndarray:
            return np.zeros((padded, size, *leaf.shape[1:]), leaf.dtype)

        def put(chunk: np.ndarray) -> jax.Array:
            def part(index: Any) -> np.ndarray:
                begin, end, _ = index[1].indices(self._batch_size)
                return chunk[:, begin - first : end - first]

            shape = (padded, self._batch_size, *chunk.shape[2:])
            return jax.make_array_from_callback(shape, self._sharding, part)

        chunks = jax.tree.map(empty, self._examples)
        for i in range(length):
            batch = jax.tree.leaves(next(self._iterator))
            for chunk, own in zip(jax.tree.leaves(chunks), batch, strict=True):
                chunk[i] = own
        return jax.tree.map(put, chunks), None

    def _batch(self, step: int) -> Examples:
        """The columns of a step's batch that this process gathers."""
        (rows,) = grouped_indices(self._seed, step, 1, self._groups)
        return take(self._examples, rows[self._columns])


def max_chunk(
    example_bytes: int, batch_size: int, shards: int, budget_bytes: float
) -> int:
    """Steps of a chunk such that two fit on the device: one in use, one in transfer.

    Args:
        example_bytes: size of one example, bytes.
        batch_size: B.
        shards: parts into which a batch is cut, one for each device along `data`.
        budget_bytes: memory for examples on one device, bytes.

    Returns:
        The largest number of steps, at least 2, see `spans.SHORTEST`; 0 if not even
        four batches fit.
    """
    steps = int(budget_bytes // (2 * example_bytes * (batch_size // shards)))
    return steps if steps >= 2 else 0
