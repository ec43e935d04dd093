"""Trains one config in a workdir, or goes on where it was interrupted."""

import contextlib
import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset
from vae_jax.data.spec import DataSpec
from vae_jax.errors import ConfigError
from vae_jax.paths import local_path
from vae_jax.report.progress import ProgressBar
from vae_jax.runs import identity, opened, processes
from vae_jax.runs.announce import announce
from vae_jax.runs.best import Saved
from vae_jax.runs.evaluator import Evaluator
from vae_jax.runs.fit import fit
from vae_jax.runs.memory import check_memory, check_numbers
from vae_jax.runs.needs import trace
from vae_jax.storage import lock, manifest
from vae_jax.storage.atomic import writing
from vae_jax.storage.checkpoints import Checkpoints
from vae_jax.storage.records import write_json
from vae_jax.training.mesh import Layout, make_layout, on_one_device
from vae_jax.training.step import Trainer
from vae_jax.types import Params, stream

_DRAWING = threading.Lock()  # Matplotlib is not thread-safe


def train(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    mesh: Mapping[str, int] | None = None,
    started: float | None = None,
) -> dict[str, Any]:
    """Trains a config in a workdir, or goes on where it was interrupted.

    A finished run is evaluated again if `config.eval` has changed, and trained further
    if `config.train.num_steps` is larger; see `identity.compare`.

    Args:
        config: all fields of configs/default.py.
        workdir: made if it is missing. It may hold the same run, unfinished or done.
            Several processes must share it.
        mesh: how many devices along which axis, see `training.mesh.make_layout`. A run
            may go on with another mesh.
        started: see `fit`.

    Returns:
        The content of results.json.

    Raises:
        VAEJaxError: the config, the data or the workdir is unusable, or the loss is
            not finite; nothing on disk is lost.
        Interrupted: a signal asked to stop; a checkpoint is saved.
    """
    workdir = local_path(workdir)
    processes.agree_on_flags(config, {"workdir": str(workdir), "mesh": mesh})
    with processes.together():
        build.check(config)
        check_numbers(config)
        layout = make_layout(mesh, batch_size=config.data.batch_size)
        standing = identity.compare(workdir, config)
    done = processes.agree_on_file(workdir / "results.json")
    if done and not standing.reopens:
        logging.info("%s is finished; nothing to do", workdir)
        return identity.read_results(workdir)
    with processes.together():
        dataset = build.make_dataset(config)
        trainer = build.make_trainer(config, dataset.spec)
        check_memory(config, dataset, trace(config, dataset.spec, trainer))
        if not standing.is_new:
            identity.check_same_data(workdir, dataset)
    with contextlib.ExitStack() as stack:
        with processes.together():
            if processes.is_first():
                stack.enter_context(lock.held(_owner(workdir)))
                # Again, now that no other program can change it.
                standing = identity.compare(workdir, config)
                identity.claim(workdir, config, dataset, standing)
        with processes.together():
            identity.check_same_data(workdir, dataset)
            first_params = parameters_to_begin_with(config, dataset.spec)
        return _train(config, workdir, dataset, trainer, layout, first_params, started)


def _train(
    config: ConfigDict,
    workdir: pathlib.Path,
    dataset: Dataset,
    trainer: Trainer,
    layout: Layout,
    first_params: Params | None,
    started: float | None,
) -> dict[str, Any]:
    """Trains and finishes a run whose workdir is claimed."""
    announce(config, dataset)
    evaluator = Evaluator(config, dataset)
    digest = identity.digest(config.to_dict(), identity.describe(dataset))
    saved, meta = fit(
        config,
        evaluator,
        trainer,
        build.run_key(config),
        build.make_hparams_of(config),
        Checkpoints(
            workdir / "checkpoints", max_to_keep=config.train.max_to_keep, run=digest
        ),
        folders=[workdir],
        title="train",
        layout=layout,
        first_params=first_params,
        started=started,
    )
    silent = not processes.is_first()
    bar = ProgressBar("evaluate", len(dataset.test), unit="images", silent=silent)
    with processes.together(), bar:
        return finish(
            config,
            evaluator,
            on_one_device(saved),
            meta,
            workdir,
            lambda done, _: bar.update(done, {}),
        )


def _owner(workdir: pathlib.Path) -> pathlib.Path:
    """The folder whose lock guards a workdir: for a member of a grid, the grid's."""
    grid = workdir.parent.parent
    is_member = workdir.parent.name == "members" and (grid / "grid.json").is_file()
    return grid if is_member else workdir


def parameters_to_begin_with(config: ConfigDict, spec: DataSpec) -> Params | None:
    """The parameters of the run that `config.train.init_from` names, None without.

    Raises:
        ConfigError: that run's model has other parameters; names the first.
        VAEJaxError: it can't be opened.
    """
    if not config.train.init_from:
        return None
    run = opened.open_run(config.train.init_from)
    wanted = opened.abstract_saved(config, spec).state.eval_params
    found, expected = manifest.describe(run.params), manifest.describe(wanted)
    if misfit := manifest.misfit(found, expected):
        raise ConfigError(
            f"train.init_from={config.train.init_from}: {misfit}; the two runs need the"
            " same model and images of one shape"
        )
    return run.params


def finish(
    config: ConfigDict,
    evaluator: Evaluator,
    saved: Saved,
    meta: Mapping[str, Any],
    workdir: pathlib.Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluates the test split, draws the figures and writes results.json last.

    Of several processes all evaluate, each on its own, and the first writes.

    Args:
        config: of the run.
        evaluator: of its model and data, possibly shared with other runs.
        saved: what the last checkpoint holds, on one device.
        meta: with `train_seconds`.
        workdir: where the results go.
        progress: called with images evaluated and their total.

    Returns:
        The content of results.json.
    """
    params, num_samples = saved.params, config.eval.num_samples
    key = build.run_key(config)
    statistics = evaluator.statistics(
        params, "test", num_samples, stream(key, "evaluation"), progress
    )
    regular = {}
    if config.eval.regularity:
        regular = evaluator.regularity(params, stream(key, "regularity"))
    num_steps, seconds = int(saved.state.step), meta["train_seconds"]
    results = {
        "step": int(saved.step),
        **({} if saved.best is None else {"trained_steps": num_steps}),
        **evaluator.summary(statistics, num_samples),
        **regular,
        "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "train_seconds": seconds,
        "images_per_second": num_steps * config.data.batch_size / seconds,
    }
    if not processes.is_first():
        return results
    if config.eval.figures:
        from vae_jax.report import figures  # matplotlib delays the start of training

        with _DRAWING, writing(workdir / "figures"):
            figures.draw_all(
                lambda x: np.asarray(evaluator.encode(params, x).mean),
                lambda z: np.asarray(evaluator.decode(params, z).mean),
                np.asarray(evaluator.prior(params, stream(key, "figures"), 64)),
                evaluator.shown("test", 64),
                statistics,
                evaluator.dataset.test.labels,
                workdir,
            )
    write_json(workdir / "results.json", results)
    return results
