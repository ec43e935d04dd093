"""Ensembles: what a member costs beside one training."""

import functools
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.common import make_chunk, make_images
from benchmarks.gpu.sitting import Case
from configs import mnist

COUNTS = (1, 16, 64, 256)
ROUNDS = 5


def measure_count(count: int, small: bool, left: float) -> dict[str, Any]:
    """Milliseconds per step and member, of members side by side."""
    del left
    config = mnist.get_config()
    images = make_images(10_000, (28, 28, 1))
    steps = 2 if small else max(20, 2_000 // count)
    one_device = {"member": 1}
    run = make_chunk(config, images, steps, "vmap", count, one_device)
    each = [run() / count for _ in range(ROUNDS)]
    return {
        "members": count,
        "ms_per_step_and_member": 1e3 * statistics.median(each),
        "spread_ms": [1e3 * min(each), 1e3 * max(each)],
    }


def cases(small: bool) -> Iterator[Case]:
    """configs/mnist.py with so many members."""
    for count in (1, 2) if small else COUNTS:
        yield Case(f"{count} members", functools.partial(measure_count, count, small))
