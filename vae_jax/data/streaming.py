"""Batches of a training set that is too large for the device, read ahead by grain.

The order is that of `batches.batch_indices`, so the batch of step t is a function of
(seed, t): there is no iterator whose state could be lost, and a run begins at any step.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import grain
import jax
import numpy as np
from jax.sharding import Sharding

from vae_jax.data.batches import batch_indices
from vae_jax.types import Array

THREADS = 4  # that gather images


class StreamedBatches:
    """A training set in host memory; a chunk holds the batches of its steps."""

    def __init__(
        self,
        images: np.ndarray,
        *,
        seed: int,
        batch_size: int,
        num_steps: int,
        read_ahead: int,
        sharding: Sharding,
    ) -> None:
        """Reads nothing yet.

        Args:
            images: [N, H, W, C], uint8 or float32.
            seed: of the order, see `batch_indices`.
            batch_size: B, rows per step.
            num_steps: length of the training.
            read_ahead: steps whose batches are gathered before they are asked for.
            sharding: of [n, B, H, W, C]; a process gathers what its devices need.
        """
        self._sharding = sharding
        self._shape = (batch_size, *images.shape[1:])
        indices = sharding.addressable_devices_indices_map((1, *self._shape))
        ranges = [index[1].indices(batch_size) for index in indices.values() if index]
        self._columns = slice(min(r[0] for r in ranges), max(r[1] for r in ranges))
        self._steps = _Steps(images, seed, batch_size, num_steps, self._columns)
        self._options = grain.ReadOptions(
            num_threads=THREADS, prefetch_buffer_size=max(read_ahead, THREADS)
        )
        self._iterator: Iterator[np.ndarray] = iter(())
        self._next_step = -1

    def __call__(self, start: int, length: int, padded: int) -> tuple[Array, None]:
        """Batches [padded, B, ...] of steps start, ..., start + length - 1."""
        if start != self._next_step:
            steps = grain.MapDataset.source(self._steps)[start:]
            self._iterator = iter(steps.to_iter_dataset(self._options))
        self._next_step = start + length
        first = self._columns.start
        size = self._columns.stop - first
        chunk = np.zeros((padded, size, *self._shape[1:]), self._steps.dtype)
        for i in range(length):
            chunk[i] = next(self._iterator)

        def own(index: Any) -> np.ndarray:
            begin, end, _ = index[1].indices(self._shape[0])
            return chunk[:, begin - first : end - first]

        shape = (padded, *self._shape)
        return jax.make_array_from_callback(shape, self._sharding, own), None


class _Steps(Sequence[np.ndarray]):
    """What grain reads from: item t is some columns of the batch of step t."""

    def __init__(
        self,
        images: np.ndarray,
        seed: int,
        batch_size: int,
        num_steps: int,
        columns: slice,
    ) -> None:
        self.dtype = images.dtype
        self._images, self._columns = images, columns
        self._order = (seed, len(images), batch_size)
        self._num_steps = num_steps

    def __len__(self) -> int:
        return self._num_steps

    def __getitem__(self, step: Any) -> Any:
        seed, num_examples, batch_size = self._order
        (rows,) = batch_indices(seed, int(step), 1, num_examples, batch_size)
        return self._images[rows[self._columns]]


def max_chunk(
    image_bytes: int, batch_size: int, shards: int, budget_bytes: float
) -> int:
    """Steps of a chunk of which the device can hold two: one in use, one on its way.

    Args:
        image_bytes: of one image.
        batch_size: B.
        shards: parts into which a batch is cut, one for each device along `data`.
        budget_bytes: for images on one device.

    Returns:
        0 if not even two batches fit.
    """
    return int(budget_bytes // (2 * image_bytes * (batch_size // shards)))
