"""Trains one config in a workdir, or goes on where it was interrupted."""

import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.runs import processes
from vae_jax.runs.announce import announce
from vae_jax.runs.evaluator import Evaluator
from vae_jax.runs.files import check_same_data, check_workdir, claim_workdir
from vae_jax.runs.fit import fit
from vae_jax.training.mesh import make_layout, on_one_device
from vae_jax.types import Params, stream
from vae_jax.workdir.progress import ProgressBar
from vae_jax.workdir.writers import read_json, write_json

_DRAWING = threading.Lock()  # Matplotlib is not thread-safe


def train(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    mesh: Mapping[str, int] | None = None,
    started: float | None = None,
) -> dict[str, Any]:
    """Trains a config in a workdir, or goes on where it was interrupted.

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
    workdir = pathlib.Path(workdir)
    processes.agree_on_flags(config, {"workdir": str(workdir), "mesh": mesh})
    with processes.together():
        build.check(config)
        layout = make_layout(mesh, batch_size=config.data.batch_size)
        is_new = check_workdir(workdir, config)
    if processes.agree_on_file(workdir / "results.json"):
        logging.info("%s is finished; nothing to do", workdir)
        return read_json(workdir / "results.json")
    with processes.together():
        dataset = build.make_dataset(config)
        if is_new and processes.is_first():
            claim_workdir(workdir, config, dataset)
    with processes.together():
        check_same_data(workdir, dataset)
    announce(config, dataset)
    evaluator = Evaluator(config, dataset)
    state, meta = fit(
        config,
        evaluator,
        build.make_trainer(config, dataset.image_shape),
        build.run_key(config),
        build.make_hparams_of(config),
        folder=workdir,
        folders=[workdir],
        title="train",
        layout=layout,
        started=started,
    )
    silent = not processes.is_first()
    bar = ProgressBar("evaluate", len(dataset.test), unit="images", silent=silent)
    with processes.together(), bar:
        return finish(
            config,
            evaluator,
            on_one_device(state.eval_params),
            meta,
            workdir,
            lambda done, _: bar.update(done, {}),
        )


def finish(
    config: ConfigDict,
    evaluator: Evaluator,
    params: Params,
    meta: Mapping[str, Any],
    workdir: pathlib.Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluates the test split, draws the figures and writes results.json last.

    Of several processes all evaluate, each on its own, and the first writes.

    Args:
        config: of the run.
        evaluator: of its model and data, possibly shared with other runs.
        params: the trained parameters.
        meta: with `train_seconds`.
        workdir: where the results go.
        progress: called with images evaluated and their total.

    Returns:
        The content of results.json.
    """
    num_samples = config.eval.num_samples
    key = build.run_key(config)
    statistics = evaluator.statistics(
        params, "test", num_samples, stream(key, "evaluation"), progress
    )
    regular = {}
    if config.eval.regularity:
        regular = evaluator.regularity(params, stream(key, "regularity"))
    num_steps, seconds = config.train.num_steps, meta["train_seconds"]
    results = {
        "step": num_steps,
        **evaluator.summary(statistics, num_samples),
        **regular,
        "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "train_seconds": seconds,
        "images_per_second": num_steps * config.data.batch_size / seconds,
    }
    if not processes.is_first():
        return results
    if config.eval.figures:
        from vae_jax import figures  # matplotlib delays the start of training

        with _DRAWING:
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
