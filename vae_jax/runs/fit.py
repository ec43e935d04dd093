"""Training with everything around it: checkpoints, metrics, progress, signals."""

import contextlib
import pathlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.batches import InMemoryBatches
from vae_jax.errors import NonFiniteLossError
from vae_jax.runs.evaluator import Evaluator
from vae_jax.training.ensemble import ensemble, member_sharding
from vae_jax.training.loop import (
    ChunkReport,
    Members,
    Pause,
    compile_chunk,
    train_loop,
)
from vae_jax.training.state import TrainState
from vae_jax.training.step import Trainer
from vae_jax.types import Array, Hparams, Key, stream
from vae_jax.workdir.checkpoints import Checkpoints
from vae_jax.workdir.progress import ProgressBar
from vae_jax.workdir.writers import MetricWriter

WATCHED = ("elbo", "rate", "distortion")
IN_TRAINING = (*WATCHED, "active_units", "posterior_variance")


class Interrupted(Exception):
    """Training was asked to stop and has saved a checkpoint."""


def fit(
    config: ConfigDict,
    evaluator: Evaluator,
    trainer: Trainer,
    keys: Key,
    hparams: Hparams,
    folder: pathlib.Path,
    folders: Sequence[pathlib.Path],
    title: str,
    members: Members = "one",
) -> tuple[TrainState, dict[str, Any]]:
    """Trains from the newest checkpoint of `folder` to `config.train.num_steps`.

    One run and an ensemble of M go the same way; an ensemble has an axis M in front of
    keys, hparams, state and metrics.

    Args:
        config: its train and data parts are read.
        evaluator: holds the data.
        trainer: of one run.
        keys: root key of the run, or [M].
        hparams: of the step, fields [] or [M].
        folder: its sub-folder checkpoints/ is read and written.
        folders: for each member (or the one run), the folder of its metrics.
        title: of the progress bar.
        members: one run, or how several are computed, see `compile_chunk`.

    Returns:
        The state at the last step and what was saved beside it: `train_seconds` and
        `failed`, which gives for members whose loss was not finite the step where that
        began.

    Raises:
        NonFiniteLossError: the loss of a single run, or of every member, is not finite.
        Interrupted: a signal asked to stop; a checkpoint is saved.
    """
    num_steps, batched = config.train.num_steps, members != "one"
    dataset = evaluator.dataset
    x = jnp.zeros((1, *dataset.image_shape))
    streams = jax.vmap(stream, in_axes=(0, None)) if batched else stream
    init_keys = streams(keys, "init")
    init = ensemble(trainer).init if batched else trainer.init
    checkpoints = Checkpoints(
        folder / "checkpoints", max_to_keep=config.train.max_to_keep
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(checkpoints)
        restored = checkpoints.restore(jax.eval_shape(init, init_keys, x))
        if restored is None:
            start, state = 0, jax.jit(init)(init_keys, x)
            meta: dict[str, Any] = {"train_seconds": 0.0, "failed": {}}
        else:
            start, state, meta = restored
            logging.info("%s: going on from step %d of %d", folder, start, num_steps)
        if start == num_steps:
            return state, meta
        shared = None  # where what all members see goes
        if members == "vmap":
            sharding = member_sharding(len(folders))
            state, keys, hparams = jax.device_put((state, keys, hparams), sharding)
            shared = NamedSharding(sharding.mesh, PartitionSpec())
            logging.info(
                "%d members on %d devices", len(folders), sharding.mesh.devices.size
            )
        began = time.monotonic() - meta["train_seconds"]
        failed = {int(member): step for member, step in meta["failed"].items()}
        writers = [
            stack.enter_context(MetricWriter(path, start_step=start))
            for path in folders
        ]
        bar = stack.enter_context(ProgressBar(title, num_steps, start))
        should_stop = stack.enter_context(stop_on_signals())

        def on_report(report: ChunkReport) -> None:
            for m, first_bad in enumerate(np.atleast_1d(report.first_bad_step)):
                if first_bad >= 0 and m not in failed:
                    failed[m] = int(first_bad)
                    loss = float(np.atleast_1d(report.metrics["loss"])[m])
                    if len(failed) == len(folders):
                        raise NonFiniteLossError(failed[m], loss)
                    logging.warning(
                        "%s: the loss became %s at step %d", folders[m], loss, failed[m]
                    )
            rows = {
                k: np.atleast_1d(v).astype(float) for k, v in report.metrics.items()
            }
            good = [m for m in range(len(folders)) if m not in failed]
            for m in good:
                values = {f"train/{k}": float(v[m]) for k, v in rows.items()}
                writers[m].scalars(report.step, values)
            means = {k: rows[k][good].mean() for k in WATCHED if k in rows}
            bar.update(report.step, means)

        def evaluate(step: int, state: TrainState) -> None:
            for m, writer in enumerate(writers):
                if m not in failed:
                    params = state.eval_params
                    if batched:
                        params = member(params, m)
                    # One key for all: differences between members are their own.
                    key = stream(build.data_key(config), "validation latents")
                    statistics = evaluator.statistics(params, "validation", 1, key)
                    summary = evaluator.summary(statistics, 1)
                    values = {k: summary[k] for k in IN_TRAINING}
                    writer.scalars(
                        step,
                        {f"eval/{k}": v for k, v in values.items() if v is not None},
                    )

        def save(step: int, state: TrainState) -> None:
            meta["train_seconds"] = time.monotonic() - began
            meta["failed"] = {str(m): bad for m, bad in failed.items()}
            checkpoints.save(step, state, meta)
            for writer in writers:
                writer.flush()

        pauses = [Pause(config.train.checkpoint_every, save)]
        if config.train.eval_every:
            pauses.insert(0, Pause(config.train.eval_every, evaluate))
        step, state = train_loop(
            compile_chunk(
                trainer, build.make_preprocess(config), members, build.stepwise(config)
            ),
            InMemoryBatches(
                dataset.train.images,
                seed=config.data.seed,
                batch_size=config.data.batch_size,
                sharding=shared,
            ),
            state,
            start=start,
            num_steps=num_steps,
            log_every=config.train.log_every,
            data_key=stream(build.data_key(config), "preprocess"),
            key=streams(keys, "latents"),
            hparams=hparams,
            on_report=on_report,
            pauses=pauses,
            should_stop=should_stop,
        )
    if step < num_steps:
        raise Interrupted(
            f"stopped at step {step} of {num_steps}; run the same command to go on"
        )
    return state, meta


def member(states: Any, index: int) -> Any:
    """The state (or a part of it) of one member of an ensemble, on one device."""
    return jax.device_put(_take(states, index), jax.devices()[0])


@jax.jit
def _take(states: Any, index: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], states)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGTERM or SIGINT has come.

    The first one asks for a stop between two chunks; a second SIGINT acts as usual.
    """
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
