"""The folder of a grid: where its members lie, and which grid it holds."""

import pathlib
from collections.abc import Sequence
from typing import Any, Literal

from vae_jax.errors import ConfigError
from vae_jax.runs import identity, sweep
from vae_jax.storage.records import read_json

Mode = Literal["vmap", "exact"]


def folder(workdir: pathlib.Path, name: str) -> pathlib.Path:
    """Where a member's run lies."""
    return workdir / "members" / name


def describe(grid: Sequence[sweep.Member], mode: Mode) -> dict[str, Any]:
    """What grid.json says of a grid."""
    return {"mode": mode, "members": {entry.name: dict(entry.values) for entry in grid}}


def compare(workdir: pathlib.Path, grid: Sequence[sweep.Member], mode: Mode) -> None:
    """Compares a grid with what a workdir holds.

    Raises:
        ConfigError: that is a single run, or another grid that saved something.
    """
    if (workdir / "config.json").is_file():
        raise ConfigError(f"workdir={workdir} holds a single run: choose another")
    path = workdir / "grid.json"
    if not path.is_file():
        return
    saved = read_json(path)
    if saved != describe(grid, mode) and _holds_checkpoint(workdir):
        names = saved.get("members")
        count = len(names) if isinstance(names, dict) else "unreadable"
        raise ConfigError(
            f"workdir={workdir} holds another grid of {count} members"
            f" (mode {saved.get('mode')}): choose another workdir, or the same flags"
        )
    standings(workdir, grid)


def standings(
    workdir: pathlib.Path, members: Sequence[sweep.Member]
) -> list[identity.Standing]:
    """How each member's config stands to what lies in its folder.

    Raises:
        ConfigError: one of them holds another run.
    """
    trained = _holds_checkpoint(workdir)
    return [
        identity.compare(folder(workdir, entry.name), entry.config, trained)
        for entry in members
    ]


def _holds_checkpoint(workdir: pathlib.Path) -> bool:
    """Whether any program of a grid has saved a step."""
    programs = (workdir / "programs").glob("*")
    return any(identity.holds_checkpoint(program) for program in programs)
