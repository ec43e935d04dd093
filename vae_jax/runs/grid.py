"""Trains a grid of configs: members that share their code are one compiled program."""

import contextlib
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax.numpy as jnp
from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset
from vae_jax.paths import local_path
from vae_jax.report.progress import ProgressBar
from vae_jax.runs import identity, members, processes, sweep
from vae_jax.runs.announce import announce
from vae_jax.runs.best import Saved
from vae_jax.runs.finish import finish
from vae_jax.runs.fit import fit
from vae_jax.runs.members import Mode
from vae_jax.runs.memory import check_memory, check_numbers
from vae_jax.runs.needs import num_bytes, trace
from vae_jax.runs.run_data import run_data
from vae_jax.runs.single import parameters_to_begin_with
from vae_jax.storage import lock
from vae_jax.storage.checkpoints import Checkpoints
from vae_jax.storage.records import write_json
from vae_jax.training.mesh import Layout, make_layout, member

# A member's state is its parameters and two moments; as much again for gradients.
STATE_COPIES = 5
MEMORY_BUDGET = 2 * 2**30  # bytes of parameters and the like in one program
AT_ONCE = 2  # members that are evaluated at a time


def train_grid(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    sweeps: Sequence[str],
    seeds: int,
    *,
    mode: Mode = "vmap",
    members_per_program: int = 0,
    mesh: Mapping[str, int] | None = None,
    started: float | None = None,
) -> list[dict[str, Any]]:
    """Trains every combination of swept values and seeds, or goes on with it.

    Each member ends as an ordinary run in workdir/members/NAME.

    Args:
        config: of everything that is not swept.
        workdir: of the grid; it may hold the same grid, unfinished or done.
        sweeps: "field=value,value,...", see `sweep.parse_sweep`.
        seeds: runs per combination.
        mode: see `training.loop.compile_chunk`.
        members_per_program: at most so many members side by side; 0 chooses from the
            size of the model.
        mesh: how many devices along which axis, see `training.mesh.make_layout`.
        started: see `fit`.

    Returns:
        One row per member: its name, values and results; a member whose loss was not
        finite has `failed_at_step` and no results.

    Raises:
        VAEJaxError: a flag, the config, the data or the workdir is unusable.
        Interrupted: a signal asked to stop; a checkpoint is saved.
    """
    workdir = local_path(workdir)
    datasets: dict[str, Dataset] = {}
    flags = {
        "workdir": str(workdir),
        "sweep": list(sweeps),
        "seeds": seeds,
        "mode": mode,
        "members_per_program": members_per_program,
        "mesh": mesh,
    }
    processes.agree_on_flags(config, flags)
    with processes.together():
        grid = sweep.members(config, sweeps, seeds)
        members.compare(workdir, grid, mode)
        size = _members_per_program(grid, datasets, mode, members_per_program)
        parts = sweep.programs(grid, size)
        layouts = [
            make_layout(
                mesh,
                batch_size=part[0].config.data.batch_size,
                members=len(part) if mode == "vmap" else None,
            )
            for part in parts
        ]
    with contextlib.ExitStack() as stack:
        with processes.together():
            if processes.is_first():
                stack.enter_context(lock.held(workdir))
                # Again, now that no other program can change it.
                members.compare(workdir, grid, mode)
                write_json(workdir / "grid.json", members.describe(grid, mode))
        return _train_programs(workdir, grid, parts, layouts, mode, datasets, started)


def _train_programs(
    workdir: pathlib.Path,
    grid: Sequence[sweep.Member],
    parts: Sequence[Sequence[sweep.Member]],
    layouts: Sequence[Layout],
    mode: Mode,
    datasets: dict[str, Dataset],
    started: float | None,
) -> list[dict[str, Any]]:
    """Trains the programs of a grid whose workdir is claimed, one after the other."""
    logging.info(
        "%d members in %d programs of at most %d",
        len(grid),
        len(parts),
        max(map(len, parts)),
    )
    rows: dict[str, dict[str, Any]] = {}
    for number, (part, layout) in enumerate(zip(parts, layouts, strict=True), start=1):
        title = f"train {number}/{len(parts)}" if len(parts) > 1 else "train"
        rows |= _train_program(workdir, part, mode, datasets, title, layout, started)
        started = None
    return [rows[entry.name] for entry in grid]


def _train_program(
    workdir: pathlib.Path,
    part: Sequence[sweep.Member],
    mode: Mode,
    datasets: dict[str, Dataset],
    title: str,
    layout: Layout,
    started: float | None,
) -> dict[str, dict[str, Any]]:
    """Trains and finishes the members of one program; name -> row."""
    folders = [members.folder(workdir, entry.name) for entry in part]
    standings = members.standings(workdir, part)
    results = [processes.agree_on_file(folder / "results.json") for folder in folders]
    if all(results) and not any(standing.reopens for standing in standings):
        return {
            entry.name: _row(entry, identity.read_results(folder))
            for entry, folder in zip(part, folders, strict=True)
        }
    config = part[0].config
    dataset = _dataset(config, datasets)
    with processes.together():
        for entry, folder, standing in zip(part, folders, standings, strict=True):
            if not standing.is_new:
                identity.check_same_data(folder, dataset)
            if processes.is_first():
                identity.claim(folder, entry.config, dataset, standing)
    with processes.together():
        for folder in folders:
            identity.check_same_data(folder, dataset)
        first_params = parameters_to_begin_with(config, dataset.image_shape)
    measured = run_data(config, dataset)
    trainer = build.make_trainer(config, dataset.image_shape)
    keys = jnp.stack([build.run_key(entry.config) for entry in part])
    data = identity.describe(dataset)
    digests = [identity.digest(entry.config.to_dict(), data) for entry in part]
    joint, meta = fit(
        config,
        dataset,
        trainer,
        keys,
        build.make_member_hparams([entry.config for entry in part]),
        Checkpoints(
            workdir / "programs" / _program_name(part) / "checkpoints",
            max_to_keep=config.train.max_to_keep,
            run=identity.joint_digest(digests),
        ),
        folders=folders,
        title=title,
        layout=layout,
        members=mode,
        first_params=first_params,
        started=started,
    )
    meta = {**meta, "train_seconds": meta["train_seconds"] / len(part)}
    rows, good = {}, []
    for m, (entry, folder) in enumerate(zip(part, folders, strict=True)):
        failed = meta["failed"].get(str(m))
        if failed is not None:
            rows[entry.name] = _row(entry, {"failed_at_step": failed})
            continue
        saved = member(joint, m)
        step = int(saved.state.step)
        with Checkpoints(
            folder / "checkpoints", max_to_keep=1, run=digests[m]
        ) as checkpoints:
            if step not in checkpoints.all_steps():
                own = {"train_seconds": meta["train_seconds"], "failed": {}}
                checkpoints.save(step, saved, own)
        good.append((entry, folder, saved))
    silent = not processes.is_first()
    bar = ProgressBar("evaluate", len(good), unit="members", silent=silent)
    with processes.together(), bar:

        def finished(run: tuple[sweep.Member, pathlib.Path, Saved]) -> dict[str, Any]:
            entry, folder, saved = run
            path = folder / "results.json"
            if path.is_file():
                return identity.read_results(folder)
            return finish(entry.config, dataset, measured, saved, meta, folder)

        for done, (run, results) in enumerate(
            zip(good, _side_by_side(finished, good), strict=True), start=1
        ):
            rows[run[0].name] = _row(run[0], results)
            bar.update(done, {})
    return rows


def _side_by_side(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator:
    """Results in order; figures of one member are drawn while others are evaluated.

    The first call goes alone: it compiles what the others share.
    """
    yield from map(function, items[:1])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(function, items[1:])


def _row(entry: sweep.Member, results: dict[str, Any]) -> dict[str, Any]:
    return {"name": entry.name, **entry.values, **results}


def _program_name(part: Sequence[sweep.Member]) -> str:
    """Changes with the members, so another split can't take over a checkpoint."""
    names = "\n".join(entry.name for entry in part)
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def _dataset(config: ConfigDict, datasets: dict[str, Dataset]) -> Dataset:
    """Loads each data set once; the config's other fields are checked each time."""
    name = repr(sorted(config.data.to_dict().items()))
    if name not in datasets:
        check_numbers(config)
        datasets[name] = build.make_dataset(config)
        announce(config, datasets[name])
    build.check_support(config, datasets[name].levels)
    return datasets[name]


def _members_per_program(
    grid: Sequence[sweep.Member], datasets: dict[str, Dataset], mode: Mode, wished: int
) -> int:
    """As many as are wished, else as the budget holds of the largest model.

    Refuses what does not fit into memory, before anything is trained.
    """
    traced, largest = [], 1
    for group in sweep.programs(grid, len(grid)):
        config = group[0].config
        dataset = _dataset(config, datasets)
        trainer = build.make_trainer(config, dataset.image_shape)
        arrays = trace(config, dataset.image_shape, trainer)
        params = [n for name, n in arrays.items() if name.startswith("state/params/")]
        largest = max(largest, STATE_COPIES * sum(map(num_bytes, params)))
        traced.append((len(group), config, dataset, arrays))
    size = wished or max(1, MEMORY_BUDGET // largest)
    for count, config, dataset, arrays in traced:
        together = min(count, size) if mode == "vmap" else 1
        check_memory(config, dataset, arrays, together)
    return size
