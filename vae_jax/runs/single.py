"""Trains one config in a workdir, or resumes it."""

import pathlib
from collections.abc import Mapping

from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.paths import local_path
from vae_jax.runs import identity, members, processes
from vae_jax.runs.begin import check_init_from
from vae_jax.runs.memory import check_memory
from vae_jax.runs.program import Program, prepare
from vae_jax.runs.train_program import finished, locked, train_program
from vae_jax.storage.manifest import Json
from vae_jax.training.mesh import make_layout


def train(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    mesh: Mapping[str, int] | None = None,
) -> Json:
    """Trains a config in a workdir, or resumes an interrupted training.

    A finished run is evaluated again if `config.eval` has changed, and trained further
    if `config.train.num_steps` is larger; see `identity.compare`.

    Args:
        config: all fields of configs/default.py.
        workdir: made if it is missing. It may hold the same run, unfinished or done.
            Several processes must share it.
        mesh: how many devices along which axis, see `training.mesh.make_layout`. A run
            may be resumed with another mesh.

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
        layout = make_layout(mesh, batch_size=config.data.batch_size)
        standing = identity.compare(workdir, config)
    done = finished([workdir], [standing])
    if done is not None:
        logging.info("%s is finished; nothing to do", workdir)
        return done[0]
    with processes.together():
        prepared = prepare(config)
        check_memory(config, prepared.dataset, prepared.arrays)
        program = Program(
            [config], [workdir], workdir, prepared, mode="exact", layout=layout
        )
        check_init_from(program, [standing])
    # The lock of a grid guards its members, too.
    with locked(members.grid_of(workdir) or workdir):
        with processes.together():
            # Again, now that no other program can change it.
            standing = identity.compare(workdir, config)
        (results,) = train_program(program, [standing], "train")
    return results
