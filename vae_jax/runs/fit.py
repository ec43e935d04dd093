"""Training with everything around it: checkpoints, metrics, progress, signals."""

import contextlib
import itertools
import pathlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.batches import InMemoryBatches
from vae_jax.errors import ConfigError, NonFiniteLossError
from vae_jax.runs import processes
from vae_jax.runs.evaluator import Evaluator
from vae_jax.training.ensemble import ensemble
from vae_jax.training.loop import (
    Batches,
    ChunkReport,
    Members,
    Pause,
    RunChunk,
    compile_chunk,
    train_loop,
)
from vae_jax.training.mesh import Layout, member, on_one_device, place
from vae_jax.training.state import TrainState
from vae_jax.training.step import Trainer
from vae_jax.types import Hparams, Key, stream
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
    layout: Layout,
    members: Members = "one",
    started: float | None = None,
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
        layout: which devices take part, and how.
        members: one run, or how several are computed, see `compile_chunk`.
        started: `time.monotonic()` when the program began, to log what the start took.

    Returns:
        The state at the last step, laid out by `layout`, and what was saved beside it:
        `train_seconds` and `failed`, which gives for members whose loss was not finite
        the step where that began.

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
        abstract = jax.tree.map(
            lambda leaf: leaf.update(sharding=layout.state),
            jax.eval_shape(init, init_keys, x),
        )
        restored = checkpoints.restore(abstract)
        if restored is None:
            start = 0
            state = jax.jit(init, out_shardings=layout.state)(init_keys, x)
            meta: dict[str, Any] = {"train_seconds": 0.0, "failed": {}}
        else:
            start, state, meta = restored
            logging.info("%s: going on from step %d of %d", folder, start, num_steps)
        if start == num_steps:
            return state, meta
        what = f"{len(folders)} members" if members == "vmap" else "one run"
        logging.info("%s on %s", what, layout)
        batches, max_chunk = make_batches(config, dataset.train.images, layout)
        began = time.monotonic() - meta["train_seconds"]
        failed = {int(member): step for member, step in meta["failed"].items()}
        writers = [
            stack.enter_context(MetricWriter(path, start_step=start))
            for path in folders
            if processes.is_first()
        ]
        silent = not processes.is_first()
        bar = stack.enter_context(ProgressBar(title, num_steps, start, silent=silent))
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
            for m in good if writers else ():
                values = {f"train/{k}": float(v[m]) for k, v in rows.items()}
                writers[m].scalars(report.step, values)
            means = {k: rows[k][good].mean() for k in WATCHED if k in rows}
            bar.update(report.step, means)

        def evaluate(step: int, state: TrainState) -> None:
            for m in range(len(folders)):
                if m not in failed:
                    # Every process evaluates: nobody waits, and nobody is waited for.
                    params = state.eval_params
                    params = member(params, m) if batched else on_one_device(params)
                    # One key for all: differences between members are their own.
                    key = stream(build.data_key(config), "validation latents")
                    statistics = evaluator.statistics(params, "validation", 1, key)
                    summary = evaluator.summary(statistics, 1)
                    values = {k: summary[k] for k in IN_TRAINING}
                    if writers:
                        writers[m].scalars(
                            step,
                            {
                                f"eval/{k}": v
                                for k, v in values.items()
                                if v is not None
                            },
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
        run = compile_chunk(
            trainer,
            build.make_preprocess(config),
            members,
            layout,
        )
        step, state = train_loop(
            run if started is None else _tell_first_call(run, started),
            batches,
            state,
            start=start,
            num_steps=num_steps,
            log_every=config.train.log_every,
            data_key=stream(build.data_key(config), "preprocess"),
            key=place(streams(keys, "latents"), layout.state),
            hparams=place(hparams, layout.state),
            on_report=on_report,
            max_chunk=max_chunk,
            pauses=pauses,
            should_stop=should_stop,
        )
    if step < num_steps:
        raise Interrupted(
            f"stopped at step {step} of {num_steps}; run the same command to go on"
        )
    return state, meta


def make_batches(
    config: ConfigDict, images: np.ndarray, layout: Layout
) -> tuple[Batches, int | None]:
    """The training set on the devices if it fits, else a stream of it.

    Args:
        config: its data and train parts are read.
        images: of the training split.
        layout: of the training.

    Returns:
        The batches, the same either way, and a bound on the steps of a chunk.

    Raises:
        ConfigError: not even two batches fit.
    """
    data, budget = config.data, config.data.device_budget_mb * 1e6
    order = {"seed": data.seed, "batch_size": data.batch_size}
    if images.nbytes <= budget:
        in_memory = InMemoryBatches(
            images, **order, sharding=layout.shared, rows_sharding=layout.steps
        )
        return in_memory, None
    from vae_jax.data import streaming  # grain delays the start of training

    shards = layout.mesh.shape["data"]
    chunk = streaming.max_chunk(images[0].nbytes, data.batch_size, shards, budget)
    if not chunk:
        raise ConfigError(
            f"data.device_budget_mb={data.device_budget_mb:g}: must hold two batches of"
            f" {data.batch_size // shards} images of {images[0].nbytes} bytes"
        )
    logging.info(
        "streaming: the %.4g MB of images are more than data.device_budget_mb=%g",
        images.nbytes / 1e6,
        data.device_budget_mb,
    )
    chunk = min(chunk, config.train.log_every, config.train.num_steps)
    streamed = streaming.StreamedBatches(
        images,
        **order,
        num_steps=config.train.num_steps,
        read_ahead=chunk,
        sharding=layout.steps,
    )
    return streamed, chunk


def _tell_first_call(run: RunChunk, started: float) -> RunChunk:
    """Logs when `run` has been compiled and its first steps are on their way."""
    told = False

    def told_once(*arguments: Any) -> Any:
        nonlocal told
        result = run(*arguments)
        if not told:
            told = True
            logging.info("first step after %.1f s", time.monotonic() - started)
        return result

    return told_once


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGTERM or SIGINT has come.

    The first one asks for a stop between two chunks; a second SIGINT acts as usual.
    Of several processes one is enough to get a SIGTERM, and all stop at the same step.
    """
    if jax.process_count() > 1:
        questions = itertools.count()
        yield lambda: multihost_utils.reached_preemption_sync_point(next(questions))
        return
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
