"""A grid of runs as one program, against the same runs one after the other.

    python -m benchmarks.grid programs [--config=configs/digits.py] [--members=16]
    python -m benchmarks.grid steps [--members=1,2,4,8] [--rounds=7] [--side=28]

`programs` times whole processes, start-up, compilation, evaluation and figures
included: `experiments.train` once per KL weight, then one `experiments.ablate`.
`steps` times the training chunks alone, of configs/mnist.py unless --config says
otherwise, on made-up images of --side pixels: with vmap, one after the other in one
program ("exact"), and as single runs. The kinds take turns, and medians over the rounds
are compared. With several devices the members of vmap are spread over them
(XLA_FLAGS=--xla_force_host_platform_device_count=2 simulates two).
"""

import argparse
import pathlib
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.batches import InMemoryBatches
from vae_jax.training.ensemble import ensemble
from vae_jax.training.loop import Members, compile_chunk
from vae_jax.training.mesh import make_layout, place

STEPS = 50  # per timed chunk


def program(name: str, *arguments: object) -> float:
    """Seconds that `python -m experiments.NAME` takes."""
    command = [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def programs(config: str, members: int) -> None:
    """Prints the times of the single runs and of the grid."""
    weights = [round(8 * m / (members - 1), 4) for m in range(members)]
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        singles = [
            program(
                "train",
                f"--config={config}",
                f"--workdir={out / f'single-{m}'}",
                f"--config.objective.kl_weight={weight}",
            )
            for m, weight in enumerate(weights)
        ]
        grid = program(
            "ablate",
            f"--config={config}",
            f"--workdir={out / 'grid'}",
            f"--sweep=objective.kl_weight={','.join(map(str, weights))}",
        )
    total = sum(singles)
    print(f"{members} runs in turn  {total:7.1f} s  ({total / members:.1f} s each)")
    print(f"one grid of {members:2d}   {grid:7.1f} s")
    print(f"ratio            {total / grid:7.1f}")


def chunk(
    config: ConfigDict, side: int, members: Members, count: int
) -> Callable[[], None]:
    """A call that trains `count` members (or one run) for STEPS steps."""
    shape = (side, side, 1)
    trainer = build.make_trainer(config, shape)
    batch_size = config.data.batch_size
    layout = make_layout(
        None if members == "vmap" else {"data": 1},
        batch_size=batch_size,
        members=count if members == "vmap" else None,
    )
    preprocess = build.make_preprocess(config)
    run = compile_chunk(trainer, preprocess, members, layout=layout)
    images = np.random.default_rng(0).integers(0, 256, (60_000, *shape), np.uint8)
    hparams, key = build.make_hparams_of(config), jax.random.key(0)
    x = jnp.zeros((1, *shape))
    if members == "one":
        state = jax.jit(trainer.init)(key, x)
    else:
        key = jax.random.split(key, count)
        hparams = jax.tree.map(lambda v: jnp.broadcast_to(v, (count,)), hparams)
        state = jax.jit(ensemble(trainer).init)(key, x)
    state, key, hparams = place((state, key, hparams), layout.state)
    batches = InMemoryBatches(
        images,
        seed=0,
        batch_size=batch_size,
        sharding=layout.shared,
        rows_sharding=layout.steps,
    )
    data, rows = batches(0, STEPS, STEPS)
    data_key = jax.random.key(1)

    def train() -> None:
        nonlocal state
        state, _, _ = run(
            state, data, rows, np.int32(0), np.int32(STEPS), data_key, key, hparams
        )
        jax.block_until_ready(state)

    return train


def steps(path: str, side: int, counts: list[int], rounds: int) -> None:
    """Prints milliseconds per step and member."""
    config = runpy.run_path(path)["get_config"]()
    wanted: list[tuple[Members, int]] = [("one", 1)]
    wanted += [(kind, count) for count in counts for kind in ("vmap", "exact")]
    cases = {case: chunk(config, side, *case) for case in wanted}
    times: dict[tuple[Members, int], list[float]] = {case: [] for case in cases}
    for round_number in range(rounds + 1):
        for case, train in cases.items():
            start = time.perf_counter()
            train()
            if round_number:  # the first one compiles
                elapsed = time.perf_counter() - start
                times[case].append(elapsed / STEPS / case[1])
    single = statistics.median(times["one", 1])
    print("members  kind   ms per step and member  against single runs")
    for (kind, count), values in times.items():
        value = statistics.median(values)
        print(f"{count:7d}  {kind:5s} {1e3 * value:23.2f}  {single / value:19.2f}")


def main() -> None:
    """Runs one of the two comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["programs", "steps"])
    parser.add_argument("--config", default="")
    parser.add_argument("--members", default="")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=28)
    flags = parser.parse_args()
    if flags.what == "programs":
        programs(flags.config or "configs/digits.py", int(flags.members or 16))
    else:
        counts = [int(count) for count in (flags.members or "1,2,4,8").split(",")]
        steps(flags.config or "configs/mnist.py", flags.side, counts, flags.rounds)


if __name__ == "__main__":
    main()
