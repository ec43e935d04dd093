"""Trains one config in a workdir, or goes on where it was interrupted."""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset
from vae_jax.errors import ConfigError
from vae_jax.paths import local_path
from vae_jax.report.progress import ProgressBar
from vae_jax.runs import identity, opened, processes
from vae_jax.runs.announce import announce
from vae_jax.runs.finish import finish
from vae_jax.runs.fit import fit
from vae_jax.runs.memory import check_memory, check_numbers
from vae_jax.runs.needs import trace
from vae_jax.runs.run_data import run_data
from vae_jax.storage import lock, manifest
from vae_jax.storage.checkpoints import Checkpoints
from vae_jax.training.mesh import Layout, make_layout, on_one_device
from vae_jax.training.step import Trainer
from vae_jax.types import Params


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
        trainer = build.make_trainer(config, dataset.image_shape)
        check_memory(config, dataset, trace(config, dataset.image_shape, trainer))
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
            first_params = parameters_to_begin_with(config, dataset.image_shape)
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
    digest = identity.digest(config.to_dict(), identity.describe(dataset))
    saved, meta = fit(
        config,
        dataset,
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
            dataset,
            run_data(config, dataset),
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


def parameters_to_begin_with(
    config: ConfigDict, image_shape: tuple[int, int, int]
) -> Params | None:
    """The parameters of the run that `config.train.init_from` names, None without.

    Raises:
        ConfigError: that run's model has other parameters; names the first.
        VAEJaxError: it can't be opened.
    """
    if not config.train.init_from:
        return None
    run = opened.open_run(config.train.init_from)
    wanted = opened.abstract_saved(config, image_shape).state.eval_params
    found, expected = manifest.describe(run.params), manifest.describe(wanted)
    if misfit := manifest.misfit(found, expected):
        raise ConfigError(
            f"train.init_from={config.train.init_from}: {misfit}; the two runs need the"
            " same model and images of one shape"
        )
    return run.params
