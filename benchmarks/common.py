"""What the benchmarks share: a clock, the machine's peak, kinds that take turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

SIZE = 2048  # of the matrices whose product gives the peak
PRODUCT_FLOPS = 2 * SIZE**3


def seconds(function: Callable[..., Any], *args: Any) -> float:
    """Wall time of one call whose result is waited for."""
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - start


def make_product() -> Callable[[], float]:
    """A function that gives the FLOP/s of a large product of matrices, best of five."""
    matrix = jax.random.normal(jax.random.key(0), (SIZE, SIZE))
    product = jax.jit(jnp.matmul)
    seconds(product, matrix, matrix)  # compile
    return lambda: (
        PRODUCT_FLOPS / min(seconds(product, matrix, matrix) for _ in range(5))
    )


def take_turns(
    kinds: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """What each kind returns, once per round: a busy moment meets all alike."""
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, measure in kinds.items():
            taken[kind].append(measure())
    return taken


def ratios(above: list[float], below: list[float]) -> tuple[float, float, float]:
    """Median, least and greatest of the ratios within a round."""
    values = [a / b for a, b in zip(above, below, strict=True)]
    return statistics.median(values), min(values), max(values)
