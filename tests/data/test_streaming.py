"""A stream gives what the set in memory gives, from any step, and holds no more."""

import jax
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from vae_jax.data.batches import InMemoryBatches, batch_indices
from vae_jax.data.streaming import StreamedBatches, max_chunk

N, B, STEPS = 23, 5, 12
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 3, 2, 1), np.uint8)


def stream(**changes):
    settings = {"seed": 4, "batch_size": B, "num_steps": STEPS, "read_ahead": 3}
    device = SingleDeviceSharding(jax.devices()[0])
    return StreamedBatches(IMAGES, sharding=device, **{**settings, **changes})


@pytest.mark.parametrize("starts", [(0, 4, 8), (3, 7), (8, 0, 5)])
def test_batches_are_those_in_memory(starts):
    """Also where one goes on somewhere else, as after a restart."""
    in_memory, streamed = InMemoryBatches(IMAGES, seed=4, batch_size=B), stream()
    for start in starts:
        images, rows = in_memory(start, 3, 4)
        batches, none = streamed(start, 3, 4)
        assert none is None
        assert batches.shape == (4, B, 3, 2, 1) and batches.dtype == np.uint8
        wanted = np.asarray(images)[np.asarray(rows)]
        np.testing.assert_array_equal(batches[:3], wanted[:3])


class Watched:
    """Images that note which rows are read."""

    dtype, shape = IMAGES.dtype, IMAGES.shape

    def __init__(self):
        self.read = []

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, rows):
        self.read.append(tuple(rows))
        return IMAGES[rows]


def test_no_more_is_read_ahead_than_agreed():
    images = Watched()
    batches = StreamedBatches(
        images,
        seed=4,
        batch_size=B,
        num_steps=10_000,
        read_ahead=6,
        sharding=SingleDeviceSharding(jax.devices()[0]),
    )
    batches(100, 2, 2)
    order = [tuple(rows) for rows in batch_indices(4, 100, 2, N, B)]
    assert set(order) <= set(images.read)
    assert len(images.read) <= 2 + 6 + 1  # asked for, ahead, and one being handed over


def test_two_chunks_fill_the_budget():
    assert max_chunk(example_bytes=10, batch_size=8, shards=2, budget_bytes=1e3) == 12
    assert max_chunk(example_bytes=10, batch_size=8, shards=2, budget_bytes=160) == 2
    assert max_chunk(example_bytes=10, batch_size=8, shards=2, budget_bytes=159) == 0
