"""What a checkpoint costs: how long it holds training up, and all of it.

    python -m benchmarks.checkpoints [--rounds=5] [--json=FILE]

States of MLPs with two hidden layers of some width: parameters and Adam's moments.
"held up" is the call that training waits for, "committed" the time until the step is
safe on disk, "CPU" the work of both, which competes with training on a CPU.
"""

import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.common import make_parser, save, take_turns
from configs import default
from vae_jax import build
from vae_jax.data.spec import DataSpec
from vae_jax.storage.checkpoints import Checkpoints

WIDTHS = (400, 1_600, 4_000)
SHAPE = (28, 28, 1)


def make_state(width: int) -> Any:
    """The state before the first step."""
    config = default.get_config()
    config.mlp.hidden_dims = (width, width)
    parts = build.make_parts(config, DataSpec(SHAPE, "8bit", num_train=1))
    trainer = build.make_trainer(config, parts)
    return jax.jit(trainer.init)(jax.random.key(0), jnp.zeros((1, *SHAPE)))


def measure(
    checkpoints: Checkpoints, state: Any, steps: Iterator[int], told: list[Any]
) -> Callable[[], float]:
    """A function that saves and restores once, adds to `told` and returns seconds."""

    def once() -> float:
        step = next(steps)
        start, cpu = time.perf_counter(), time.process_time()
        checkpoints.save(step, state)
        held_up = time.perf_counter() - start
        checkpoints.wait()
        committed = time.perf_counter() - start
        cpu = time.process_time() - cpu
        start = time.perf_counter()
        checkpoints.restore(state)
        told.append((held_up, committed, cpu, time.perf_counter() - start))
        return committed

    return once


def main() -> None:
    """Prints the table."""
    flags = make_parser(__doc__, rounds=5).parse_args()
    told: dict[int, list[Any]] = {width: [] for width in WIDTHS}
    sizes, cases = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for width in WIDTHS:
            state = make_state(width)
            sizes[width] = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6
            checkpoints = Checkpoints(pathlib.Path(folder) / str(width))
            cases[width] = measure(checkpoints, state, itertools.count(1), told[width])
            cases[width]()  # starts Orbax's threads
            told[width].clear()
        take_turns(cases, flags.rounds)
    print("state MB  held up ms  committed ms  CPU ms  restored ms")
    table = []
    for width in WIDTHS:
        columns = zip(*told[width], strict=True)
        medians = [1e3 * statistics.median(column) for column in columns]
        names = ("held_up_ms", "committed_ms", "cpu_ms", "restored_ms")
        table.append({"mb": sizes[width], **dict(zip(names, medians, strict=True))})
        print("{:8.1f} {:11.1f} {:13.1f} {:7.1f} {:12.1f}".format(*table[-1].values()))
    save(table, flags.json)


if __name__ == "__main__":
    main()
