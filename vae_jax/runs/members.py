"""The folder of a grid: where its members lie, and which grid it holds."""

import csv
import os
import pathlib
from collections.abc import Mapping, Sequence

from vae_jax.errors import ConfigError, DataError
from vae_jax.report.compare import FAILED
from vae_jax.runs import identity, sweep
from vae_jax.storage.records import read_json
from vae_jax.training.ensemble import Mode


def folder(workdir: pathlib.Path, name: str) -> pathlib.Path:
    """Where a member's run lies."""
    return workdir / "members" / name


def describe(grid: Sequence[sweep.Member], mode: Mode) -> dict[str, object]:
    """Content of grid.json."""
    return {"mode": mode, "members": {entry.name: dict(entry.values) for entry in grid}}


def compare(
    workdir: pathlib.Path, grid: Sequence[sweep.Member], mode: Mode
) -> list[identity.Standing]:
    """Compares a grid with what a workdir holds.

    Returns:
        The standing of each member's config to the content of its folder.

    Raises:
        ConfigError: that is a single run, or another grid that saved something, or the
            folder of a member holds another run.
    """
    if (workdir / "config.json").is_file():
        raise ConfigError(f"workdir={workdir} holds a single run: choose another")
    if (workdir / identity.SHARDS).is_file():
        raise ConfigError(
            f"workdir={workdir} holds a grid in shards: give --shard, or choose another"
        )
    trained = holds_checkpoint(workdir)
    if (workdir / "grid.json").is_file():
        saved = read_json(workdir / "grid.json")
        if saved != describe(grid, mode) and trained:
            raise ConfigError(
                f"workdir={workdir} holds another grid{_difference(saved, grid, mode)}:"
                " choose another workdir, or the same flags"
            )
    return [
        identity.compare(folder(workdir, entry.name), entry.config, trained)
        for entry in grid
    ]


def _difference(
    saved: Mapping[str, object], grid: Sequence[sweep.Member], mode: Mode
) -> str:
    """What differs between two grids, for a message."""
    if saved.get("mode") != mode:
        return f" (--mode={saved.get('mode')} there, {mode} here)"
    names = saved.get("members")
    if not isinstance(names, dict):
        return ""
    here = [entry.name for entry in grid]
    only_there = [name for name in names if name not in here]
    only_here = [name for name in here if name not in names]
    first = [f"{name} is only there" for name in only_there[:1]]
    first += [f"{name} is only here" for name in only_here[:1]]
    found = f" of {len(names)} members, where the flags ask for {len(here)}"
    return f"{found} ({', '.join(first)})" if first else found


def grid_of(workdir: pathlib.Path) -> pathlib.Path | None:
    """The folder of the grid that a run is a member of; None for any other run."""
    workdir = pathlib.Path(os.path.abspath(workdir))  # "." has no parent
    grid = workdir.parent.parent
    is_member = workdir.parent.name == "members" and (grid / "grid.json").is_file()
    return grid if is_member else None


def set_report_aside(workdir: pathlib.Path) -> None:
    """Renames results.csv of a grid, of which nothing is left, before another begins.

    It says which members have failed, and those of the new grid may have their names.
    """
    report = workdir / "results.csv"
    if report.is_file():
        report.replace(workdir / "results.previous.csv")


def failed(workdir: pathlib.Path) -> dict[str, int]:
    """The members of a grid whose loss was not finite, with the step; from its report.

    A grid that is trained anew has no other note of them outside of its checkpoints.

    Raises:
        DataError: the report is damaged.
    """
    path = workdir / "results.csv"
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get(FAILED)]
        steps = {row["name"]: int(row[FAILED]) for row in rows}
    except (KeyError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} is damaged: {type(error).__name__}: {error}; write the report of"
            " the grid anew, by the command that trains it"
        ) from error
    return {
        name: step
        for name, step in steps.items()
        if not (folder(workdir, name) / "results.json").is_file()
    }


def holds_checkpoint(workdir: pathlib.Path) -> bool:
    """Whether any program of a grid has saved a step."""
    programs = (workdir / "programs").glob("*")
    return any(identity.holds_checkpoint(program) for program in programs)
