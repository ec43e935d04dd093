"""What the benchmarks share: a clock, the machine's peak, kinds that take turns."""

import argparse
import importlib
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vae_jax import build, traced
from vae_jax.data.batches import InMemoryBatches
from vae_jax.data.spec import DataSpec
from vae_jax.training.chunks import ChunkInput, compile_chunk
from vae_jax.training.ensemble import Mode, ensemble
from vae_jax.training.mesh import make_layout, place

SIZE = 2048  # of the matrices whose product gives the peak, on a CPU
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
Kind = TypeVar("Kind", bound=Hashable)


def make_parser(doc: str, rounds: int) -> argparse.ArgumentParser:
    """A parser that knows --rounds and --json."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", type=pathlib.Path, help="where the table goes, too")
    return parser


def needed(module: str, extra: str) -> Any:
    """A module of an extra; without it the program ends with what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise SystemExit(
            f"{name} is not installed: pip install 'vae_jax[{extra}]'"
        ) from error


def save(table: Any, path: pathlib.Path | None) -> None:
    """Writes a table as JSON, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(table, indent=1) + "\n")


def seconds(function: Callable[..., Any], *args: Any) -> float:
    """Wall time of one call whose result is waited for."""
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - start


def make_product(size: int = SIZE, dtype: str = "float32") -> Callable[[], float]:
    """A function that gives the FLOP/s of a large product of matrices, best of five."""
    matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(jnp.matmul)
    seconds(product, matrix, matrix)  # compile
    return lambda: 2 * size**3 / min(seconds(product, matrix, matrix) for _ in range(5))


def take_turns(
    kinds: Mapping[Kind, Callable[[], float]], rounds: int
) -> dict[Kind, list[float]]:
    """What each kind returns, once per round: a busy moment meets all alike."""
    taken: dict[Kind, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, measure in kinds.items():
            taken[kind].append(measure())
    return taken


def ratios(above: list[float], below: list[float]) -> tuple[float, float, float]:
    """Median, least and greatest of the ratios within a round."""
    values = [a / b for a, b in zip(above, below, strict=True)]
    return statistics.median(values), min(values), max(values)


def make_images(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Made-up images, [N, H, W, C], uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def make_chunk(
    config: ConfigDict,
    images: np.ndarray,
    steps: int,
    mode: Mode = "exact",
    count: int = 1,
    mesh: Mapping[str, int] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Callable[[], float]:
    """Trains on and on: each call makes some steps, as the real loop does.

    Args:
        config: config of the model and its training.
        images: [N, H, W, C].
        steps: per call; the order of the images, made by Python, counts.
        mode: how members are trained, see `training.ensemble.over_members`.
        count: how many members; one in mode "exact" is a single run.
        mesh: devices along each axis; None: as the programs choose.
        clock: gives seconds: of the wall, or of the processor.

    Returns:
        A function that gives the seconds per step; it has been called once.
    """
    shape = images.shape[1:]
    spec = DataSpec(tuple(shape), "8bit", len(images))
    trainer = build.make_trainer(config, build.make_parts(config, spec))
    batch_size = config.data.batch_size
    layout = make_layout(
        mesh, batch_size=batch_size, members=count if mode == "vmap" else None
    )
    preprocess = build.make_preprocess(config)
    run = compile_chunk(trainer, preprocess, mode, layout, block=steps)
    hparams = traced.make_member_hparams([config] * count)
    keys = jax.random.split(build.run_key(config), count)
    states = jax.jit(ensemble(trainer).init)(keys, jnp.zeros((1, *shape)))
    states, keys, hparams = place((states, keys, hparams), layout.state)
    batches = InMemoryBatches(
        images,
        seed=0,
        batch_size=batch_size,
        sharding=layout.shared,
        rows_sharding=layout.steps,
    )
    data_key = build.data_key(config)
    step = 0

    def train() -> float:
        nonlocal states, step
        start = clock()
        numbers = np.int32(step), np.int32(steps)
        given = ChunkInput(*batches(step, steps, steps), *numbers, data_key)
        states, _ = run(states, given, keys, hparams)
        jax.block_until_ready(states)
        step += steps
        return (clock() - start) / steps

    train()  # compile
    return train
