"""What runs lie in a folder, what sets them apart, and how far each is."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from vae_jax.as_text import exact, few_digits
from vae_jax.errors import ConfigError, DataError
from vae_jax.fields import Fields
from vae_jax.flat import flatten
from vae_jax.quantities import Results
from vae_jax.report.compare import short_names
from vae_jax.runs import members
from vae_jax.runs.finished import is_setting
from vae_jax.runs.identity import read_results
from vae_jax.storage import lock
from vae_jax.storage.records import read_json, read_metrics

HEADS = ("run", "what differs", "state", "step", "ELBO", "coverage")


class Listed(NamedTuple):
    """A run, or a member of a grid."""

    folder: pathlib.Path
    grid: pathlib.Path | None  # of which it is a member
    varied: Sequence[str]  # fields in which the members of that grid differ
    config: Fields  # flat; empty if it can't be read, or is not yet there
    state: str
    step: int
    results: Results  # of a finished run


def table(folder: pathlib.Path, default: Fields) -> list[list[str]]:
    """The runs of a folder as rows of texts, with the columns `HEADS`.

    A run differs in a field if other runs in the folder have another value there, and
    its own is not the default, or it is a member of a grid that varies the field.

    Args:
        folder: any folder above runs and grids, or one of them.
        default: the content of configs/default.py, flat.

    Raises:
        ConfigError: there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "there is no folder of this name"
        raise ConfigError(f"{folder}: {what}")
    runs = list(_runs(folder))
    if not runs:
        raise ConfigError(f"{folder} holds no run (there is no config.json below it)")
    differing = [
        field
        for field in _differing(run.config for run in runs)
        if is_setting(field) or field == "seed"
    ]
    shorts = short_names(differing)
    rows = []
    for run in runs:
        own = [
            f"{shorts[field]}={exact(run.config[field])}"
            for field in differing
            if field in run.config
            and (
                field in run.varied
                or exact(run.config[field]) != exact(default.get(field))
            )
        ]
        name = os.path.relpath(run.grid or run.folder, folder)
        rows.append(
            [
                folder.resolve().name if name == "." else name,
                " ".join(own) or (run.folder.name if run.grid else ""),
                run.state,
                f"{run.step:,}",
                few_digits(run.results.get("elbo")),
                few_digits(run.results.get("coverage"), 3),
            ]
        )
    return rows


def _differing(configs: Iterable[Fields]) -> list[str]:
    """Fields of which flat configs hold more than one value."""
    values: dict[str, set[str]] = {}
    for config in configs:
        for field, value in config.items():
            values.setdefault(field, set()).add(exact(value))
    return [field for field, found in values.items() if len(found) > 1]


def _runs(folder: pathlib.Path) -> Iterator[Listed]:
    """All runs below a folder, in the order of their paths."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        path = pathlib.Path(place)
        if "grid.json" in files:
            folders.clear()
            yield from _members(path)
        elif "config.json" in files:
            folders.clear()
            yield _run(path)


def _members(grid: pathlib.Path) -> Iterator[Listed]:
    """The members of a grid, also those that have not begun."""
    try:
        described = read_json(grid / "grid.json")["members"]
        varied = _differing(described.values())
        failed = members.failed(grid)
    except (DataError, KeyError, AttributeError, TypeError):
        yield Listed(grid, None, (), {}, "damaged", 0, {})
        return
    except PermissionError:
        yield Listed(grid, None, (), {}, "not readable", 0, {})
        return
    for name in described:
        run = _run(members.folder(grid, name))
        if name in failed:
            run = run._replace(state="failed", step=failed[name])
        elif run.state == "stopped" and lock.is_held(grid):
            run = run._replace(state="training")
        yield run._replace(grid=grid, varied=varied)


def _run(folder: pathlib.Path) -> Listed:
    """A run, from its files."""
    state, step, config, results = "not begun", 0, {}, {}
    try:
        if (folder / "config.json").is_file():
            config = flatten(read_json(folder / "config.json"))
            state = "training" if lock.is_held(folder) else "stopped"
        if (folder / "results.json").is_file():
            state, results = "finished", read_results(folder)
            step = int(results.get("step") or 0)
        elif (folder / "metrics.jsonl").is_file():
            records = read_metrics(folder / "metrics.jsonl")
            step = records[-1]["step"] if records else 0
    except DataError:
        state = "damaged"
    except PermissionError:
        state = "not readable"
    return Listed(folder, None, (), config, state, step, results)
