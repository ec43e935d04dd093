"""What it costs to pick the rows of a batch from a large data set, by their order.

    python -m benchmarks.gather [--rounds=9] [--json=FILE]

A compiled loop picks 128 rows of 784 bytes in each step, turns them into floats and
adds them up: the part of a step that reads the data set, alone. The orders take turns:

- shuffled: as in training, rows anywhere in the data set.
- each batch sorted: the same rows, those of a step in the order of memory.
- chunk first: the rows of all 100 steps are copied in the order of memory, and each
  step picks its own from the copy.
- padded: shuffled, with rows of 832 bytes, 13 whole cache lines.
- in order: row after row, which no order of random rows can beat.

Times are processor times, since the loop is computed by one thread.
"""

import functools
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import make_images, make_parser, save, take_turns
from vae_jax.types import Array

SIZES = (10_000, 100_000, 1_000_000)
STEPS, BATCH, PIXELS, PADDED = 100, 128, 784, 832
SHUFFLED = "shuffled"


def pick(images: Array, rows: Array) -> Array:
    """Sums of the images of each step."""

    def step(i: Array, total: Array) -> Array:
        return total + images[rows[i]][:, :PIXELS].astype(jnp.float32)

    return jax.lax.fori_loop(0, STEPS, step, jnp.zeros((BATCH, PIXELS)))


def pick_from_copy(images: Array, sorted_rows: Array, places: Array) -> Array:
    """The same from a copy of the rows of all steps."""
    return pick(images[sorted_rows], places)


def make_cases(size: int) -> dict[tuple[int, str], Callable[[], float]]:
    """(size, order) -> a function that gives milliseconds per step."""
    images = make_images(size, (28, 28, 1)).reshape(size, PIXELS)
    padded = jnp.asarray(np.pad(images, ((0, 0), (0, PADDED - PIXELS))))
    stored, numbers = jnp.asarray(images), np.random.default_rng(0)
    one, two = jax.jit(pick), jax.jit(pick_from_copy)

    def shuffled() -> np.ndarray:
        return numbers.integers(0, size, (STEPS, BATCH), np.int32)

    def in_order() -> np.ndarray:
        first = numbers.integers(0, size)
        rows = (first + np.arange(STEPS * BATCH)) % size
        return rows.astype(np.int32).reshape(STEPS, BATCH)

    def copied() -> tuple[Array, np.ndarray, np.ndarray]:
        rows = shuffled()
        order = np.argsort(rows, axis=None)
        places = np.empty(rows.size, np.int32)
        places[order] = np.arange(rows.size)
        return stored, rows.ravel()[order], places.reshape(rows.shape)

    orders = {
        SHUFFLED: (one, lambda: (stored, shuffled())),
        "each batch sorted": (one, lambda: (stored, np.sort(shuffled(), axis=1))),
        "chunk first": (two, copied),
        "padded": (one, lambda: (padded, shuffled())),
        "in order": (one, lambda: (stored, in_order())),
    }

    def measure(run: Callable[..., Array], make: Callable[[], tuple]) -> float:
        given = [jnp.asarray(array) for array in make()]
        start = time.process_time()
        jax.block_until_ready(run(*given))
        return 1e3 * (time.process_time() - start) / STEPS

    cases = {
        (size, name): functools.partial(measure, *case) for name, case in orders.items()
    }
    for case in cases.values():
        case()  # compile
    return cases


def main() -> None:
    """Prints the table."""
    flags = make_parser(__doc__, rounds=9).parse_args()
    cases = {}
    for size in SIZES:
        cases |= make_cases(size)
    taken = take_turns(cases, flags.rounds)
    print(f"{'images':>9}  {'order':18} {'ms per step':>11} {'spread':>13}")
    table = []
    for (size, name), values in taken.items():
        median, least, most = statistics.median(values), min(values), max(values)
        table.append(
            {"images": size, "order": name, "ms": median, "spread": [least, most]}
        )
        spread = f"{least:.3f}-{most:.3f}"
        print(f"{size:9,d}  {name:18} {median:11.3f} {spread:>13}")
    save(table, flags.json)


if __name__ == "__main__":
    main()
