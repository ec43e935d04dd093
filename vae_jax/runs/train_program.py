"""From the members of a program to finished runs: what single runs and grids share."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

from vae_jax.runs import identity, processes
from vae_jax.runs.finish import finish_members
from vae_jax.runs.fit import fit
from vae_jax.runs.program import Program
from vae_jax.runs.tracking import Tracking
from vae_jax.storage import lock
from vae_jax.storage.manifest import Json


def train_program(
    program: Program, standings: Sequence[identity.Standing], title: str
) -> list[Json]:
    """Trains or resumes the members of a program, and finishes them.

    Args:
        program: the members; their workdir is locked.
        standings: how each member stands to the content of its folder.
        title: title of the progress bar.

    Returns:
        For each member the content of its results.json, or `failed_at_step` alone if
        its loss was not finite.

    Raises:
        VAEJaxError: the data or a folder is unusable, or no loss is finite.
        Interrupted: a signal asked to stop; a checkpoint is saved.
    """
    results = finished(program.folders, standings)
    if results is not None:
        return results
    _claim(program, standings)
    with Tracking(program) as tracking:
        saved, course = fit(program, title, tracking)
        found = finish_members(program, saved, course)
        tracking.results(found)
    return found


def finished(
    folders: Sequence[pathlib.Path], standings: Sequence[identity.Standing]
) -> list[Json] | None:
    """The results of runs that are all finished and have nothing left to do.

    Args:
        folders: folders of the runs.
        standings: how their configs stand to the content of the folders.

    Returns:
        The content of each results.json; None if there is something to do.
    """
    if any(standing.is_new or standing.reopens for standing in standings):
        return None
    paths = (folder / "results.json" for folder in folders)
    if not all(map(processes.agree_on_file, paths)):
        return None
    return [identity.read_results(folder) for folder in folders]


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Keeps other programs out of a workdir; process 0 holds the lock.

    Raises:
        ConfigError: another program trains there.
        StorageError: the folder can't be written.
    """
    with contextlib.ExitStack() as stack:
        with processes.together():
            if processes.is_first():
                stack.enter_context(lock.held(folder))
        yield


def _claim(program: Program, standings: Sequence[identity.Standing]) -> None:
    """Writes config and data of each member, once all have the same data."""
    members = list(zip(program.folders, program.configs, standings, strict=True))
    data = program.described
    with processes.together():
        for folder, _, standing in members:
            if not standing.is_new:
                identity.check_same_data(folder, data)
    with processes.together():
        for folder, config, standing in members if processes.is_first() else ():
            identity.claim(folder, config, data, standing)
    with processes.together():
        for folder in program.folders:
            identity.check_same_data(folder, data)
