"""Training with everything around it: checkpoints, metrics, progress, signals."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.batches import InMemoryBatches
from vae_jax.data.dataset import Dataset
from vae_jax.errors import CheckpointError, ConfigError, NonFiniteLossError
from vae_jax.evaluation.measures.likelihood import measure_split
from vae_jax.report.progress import ProgressBar
from vae_jax.runs import processes, signals
from vae_jax.runs.best import Saved, updated
from vae_jax.runs.run_data import split_of
from vae_jax.storage.checkpoints import Checkpoints
from vae_jax.storage.records import MetricWriter
from vae_jax.trained import Trained
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
from vae_jax.training.mesh import Layout, fetch, member, on_one_device, place
from vae_jax.training.state import TrainState
from vae_jax.training.step import Trainer
from vae_jax.types import Hparams, Key, Params, stream

WATCHED = ("elbo", "rate", "distortion")
IN_TRAINING = (*WATCHED, "active_units", "posterior_variance")


def fit(
    config: ConfigDict,
    dataset: Dataset,
    trainer: Trainer,
    keys: Key,
    hparams: Hparams,
    checkpoints: Checkpoints,
    folders: Sequence[pathlib.Path],
    title: str,
    layout: Layout,
    members: Members = "one",
    first_params: Params | None = None,
    started: float | None = None,
) -> tuple[Saved, dict[str, Any]]:
    """Trains from the newest checkpoint to `config.train.num_steps`.

    One run and an ensemble of M go the same way; an ensemble has an axis M in front of
    keys, hparams, state and metrics.

    Args:
        config: its train and data parts are read.
        dataset: the images.
        trainer: of one run.
        keys: root key of the run, or [M].
        hparams: of the step, fields [] or [M].
        checkpoints: what is restored and saved; closed at the end.
        folders: for each member (or the one run), the folder of its metrics.
        title: of the progress bar.
        layout: which devices take part, and how.
        members: one run, or how several are computed, see `compile_chunk`.
        first_params: parameters to begin with, those of one run; None: the model's own.
        started: `time.monotonic()` when the program began, to log what the start took.

    Returns:
        What the last checkpoint holds, laid out by `layout`, and what was saved beside
        it: `train_seconds` and `failed`, which gives for members whose loss was not
        finite the step where that began.

    Raises:
        NonFiniteLossError: the loss of a single run, or of every member, is not finite.
        Interrupted: a signal asked to stop; a checkpoint is saved.
    """
    num_steps, batched = config.train.num_steps, members != "one"
    model = build.make_model(config, dataset.image_shape)
    validation = split_of(config, dataset, "validation")
    patience = config.train.patience
    x = jnp.zeros((1, *dataset.image_shape))
    streams = jax.vmap(stream, in_axes=(0, None)) if batched else stream
    init_keys = streams(keys, "init")
    # Jitted, it is not traced again where `abstract_saved` was given this trainer.
    traced_once = trainer._replace(init=jax.jit(trainer.init))

    def begin(init_keys: Key, x: Any) -> Saved:
        state = (ensemble(traced_once) if batched else traced_once).init(init_keys, x)
        if first_params is not None:
            state = _with_params(state, first_params)
        return Saved.new(state, build.keeps_best(config))

    with contextlib.ExitStack() as stack:
        # Outermost, so that signals wait until the last save is safe.
        asked = stack.enter_context(signals.deferred())
        stack.enter_context(checkpoints)
        abstract = jax.tree.map(
            lambda leaf: leaf.update(sharding=layout.state),
            jax.eval_shape(begin, init_keys, x),
        )
        restored = checkpoints.restore(abstract)
        if restored is None:
            start = 0
            saved = jax.jit(begin, out_shardings=layout.state)(init_keys, x)
            meta: dict[str, Any] = {"train_seconds": 0.0, "failed": {}}
        else:
            start, saved, meta = restored
            where = checkpoints.directory.parent
            if start > num_steps:
                raise CheckpointError(
                    f"{where}: there is a checkpoint of step {start}, and"
                    f" train.num_steps={num_steps}: set train.num_steps={start} or more"
                )
            logging.info("%s: going on from step %d of %d", where, start, num_steps)
        best = saved.best
        stopped = best is not None and bool(fetch(best.has_stopped(patience)).all())
        if start == num_steps or stopped:
            return saved, meta
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
        stop_signal = 0

        def should_stop() -> bool:
            nonlocal stop_signal
            stop_signal = stop_signal or asked()
            return bool(stop_signal) or stopped

        def on_report(report: ChunkReport) -> None:
            for m, first_bad in enumerate(np.atleast_1d(report.first_bad_step)):
                if first_bad >= 0 and m not in failed:
                    failed[m] = int(first_bad)
                    loss = float(np.atleast_1d(report.metrics["loss"])[m])
                    if len(failed) == len(folders):
                        checkpoints.wait()
                        kept = max(checkpoints.all_steps(), default=None)
                        raise NonFiniteLossError(failed[m], loss, kept)
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
            nonlocal best, stopped
            if stopped or (step % config.train.eval_every and step < num_steps):
                return  # a stop by a signal leaves no evaluation of its own
            elbos = np.full(len(folders), np.nan, np.float32)
            for m in range(len(folders)):
                if m in failed:
                    continue
                # Every process evaluates, so none has to wait for another.
                params = state.eval_params
                params = member(params, m) if batched else on_one_device(params)
                # One key for all: differences between members are their own.
                key = stream(build.data_key(config), "validation latents")
                summary = measure_split(
                    Trained.of(model, params), validation, key, num_samples=1
                )
                found = {k: summary[k] for k in IN_TRAINING}
                values = {f"eval/{k}": v for k, v in found.items() if v is not None}
                elbos[m] = values.get("eval/elbo", np.nan)
                if writers:
                    writers[m].scalars(step, values)
            if best is not None:
                elbo = place(elbos if batched else elbos[0], layout.state)
                best = updated(best, state, elbo, patience)
                stopped = bool(fetch(best.has_stopped(patience)).all())

        def save(step: int, state: TrainState) -> None:
            meta["train_seconds"] = time.monotonic() - began
            meta["failed"] = {str(m): bad for m, bad in failed.items()}
            # The metrics first: those of a step that can be restored are on disk.
            for writer in writers:
                writer.flush()
            checkpoints.save(step, Saved(state, best), meta)

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
            saved.state,
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
        if stop_signal:
            raise signals.Interrupted(stop_signal, f" at step {step} of {num_steps}")
    return Saved(state, best), meta


def _with_params(state: TrainState, params: Params) -> TrainState:
    """A new state that begins with these parameters, the same for each member."""
    own = jax.tree.map(
        lambda new, old: jnp.broadcast_to(new, old.shape), params, state.params.model
    )
    # A copy: donating a state that holds one buffer twice is an error.
    average = None if state.ema_params is None else jax.tree.map(jnp.copy, own)
    learned = dataclasses.replace(state.params, model=own)
    return dataclasses.replace(state, params=learned, ema_params=average)


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
