"""Trains a grid of configs: members that share their code are one compiled program."""

import hashlib
import pathlib
from collections.abc import Mapping, Sequence

from absl import logging
from ml_collections import ConfigDict

from vae_jax.errors import NonFiniteLossError
from vae_jax.paths import local_path
from vae_jax.runs import members, processes, shards, sweep
from vae_jax.runs.begin import check_init_from
from vae_jax.runs.identity import Standing
from vae_jax.runs.memory import check_memory
from vae_jax.runs.needs import num_bytes
from vae_jax.runs.program import Datasets, Prepared, Program, prepare
from vae_jax.runs.train_program import finished, locked, train_program
from vae_jax.storage.manifest import Json
from vae_jax.storage.records import write_json
from vae_jax.training.ensemble import Mode
from vae_jax.training.mesh import make_layout

# A member's state is its parameters and two moments; as much again for gradients.
STATE_COPIES = 5
MEMORY_BUDGET = 2 * 2**30  # bytes of parameters and the like in one program


def train_grid(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    sweeps: Sequence[str],
    seeds: int,
    *,
    cases: Sequence[str] = (),
    mode: Mode = "vmap",
    members_per_program: int = 0,
    mesh: Mapping[str, int] | None = None,
    shard: shards.Shard | None = None,
) -> list[Json]:
    """Trains or resumes every combination of cases, swept values and seeds.

    Each member ends as an ordinary run in workdir/members/NAME.

    Args:
        config: config with the values of all fields that are not swept.
        workdir: folder of the grid; it may hold the same grid, unfinished or done.
        sweeps: "field=value,value,...", see `sweep.parse_sweep`.
        seeds: runs per combination.
        cases: "field=value field=value ...", see `sweep.parse_case`.
        mode: see `training.ensemble.over_members`.
        members_per_program: at most so many members side by side; 0 chooses from the
            size of the model.
        mesh: how many devices along which axis, see `training.mesh.make_layout`.
        shard: which part of the grid to train, in workdir/shards/I-of-N; None: all.

    Returns:
        One row per member: its name, values and results; a member whose loss was not
        finite has `failed_at_step` and no results.

    Raises:
        VAEJaxError: a flag, the config, the data or the workdir is unusable.
        Interrupted: a signal asked to stop; a checkpoint is saved.
    """
    workdir = local_path(workdir)
    flags = {
        "workdir": str(workdir),
        "sweep": list(sweeps),
        "case": list(cases),
        "seeds": seeds,
        "mode": mode,
        "members_per_program": members_per_program,
        "mesh": mesh,
        "shard": shard and str(shard),
    }
    processes.agree_on_flags(config, flags)
    with processes.together():
        grid = sweep.members(config, sweeps, seeds, cases)
        if shard is not None:
            workdir, grid = shards.enter(workdir, config, grid, mode, shard)
        folders = [members.folder(workdir, entry.name) for entry in grid]
        standings = members.compare(workdir, grid, mode)
    described = processes.agree_on_file(workdir / "grid.json")
    results = finished(folders, standings) if described else None
    if results is None:
        with processes.together():
            programs = _make_programs(workdir, grid, mode, members_per_program, mesh)
            known = dict(zip(folders, standings, strict=True))
            for program in programs:
                own = [known[folder] for folder in program.folders]
                check_init_from(program, own)
        with locked(workdir):
            with processes.together():
                # Again, now that no other program can change it.
                standings = members.compare(workdir, grid, mode)
            with processes.together():
                if processes.is_first():
                    if all(standing.is_new for standing in standings):
                        members.set_report_aside(workdir)
                    write_json(workdir / "grid.json", members.describe(grid, mode))
            known = dict(zip(folders, standings, strict=True))
            found = _train_programs(programs, known, is_whole=shard is None)
        results = [found[folder] for folder in folders]
    return [
        {"name": entry.name, **entry.values, **own}
        for entry, own in zip(grid, results, strict=True)
    ]


def _train_programs(
    programs: Sequence[Program],
    standings: Mapping[pathlib.Path, Standing],
    is_whole: bool,
) -> dict[pathlib.Path, Json]:
    """Trains the programs of a grid one after the other; folder -> results.

    A program all of whose members fail says so, and the next one is trained.

    Raises:
        NonFiniteLossError: it is the only one of a whole grid.
    """
    logging.info(
        "%d members in %d program%s of at most %d",
        len(standings),
        len(programs),
        "" if len(programs) == 1 else "s",
        max(len(program.folders) for program in programs),
    )
    results: dict[pathlib.Path, Json] = {}
    for number, program in enumerate(programs, start=1):
        title = f"train {number}/{len(programs)}" if len(programs) > 1 else "train"
        own = [standings[folder] for folder in program.folders]
        try:
            found = train_program(program, own, title)
        except NonFiniteLossError as error:
            if is_whole and len(programs) == 1:
                raise
            logging.warning("no member of program %d is left: %s", number, error)
            steps = [error.failed[m] for m in range(len(program.folders))]
            found = [{"failed_at_step": step} for step in steps]
        results |= zip(program.folders, found, strict=True)
    return results


def _make_programs(
    workdir: pathlib.Path,
    grid: Sequence[sweep.Member],
    mode: Mode,
    wished: int,
    mesh: Mapping[str, int] | None,
) -> list[Program]:
    """The programs of a grid, with the given number of members, or else as many as fit.

    Raises:
        ConfigError: one of them does not fit into memory; nothing is trained yet.
    """
    datasets = Datasets()
    groups = [
        (group, prepare(group[0].config, datasets))
        for group in sweep.programs(grid, len(grid))
    ]
    size = wished or min(_members_that_fit(prepared) for _, prepared in groups)
    programs = []
    for group, prepared in groups:
        config = group[0].config
        at_once = min(len(group), size) if mode == "vmap" else 1
        check_memory(config, prepared.dataset, prepared.arrays, at_once)
        for part in sweep.programs(group, size):
            layout = make_layout(
                mesh,
                batch_size=config.data.batch_size,
                members=len(part) if mode == "vmap" else None,
            )
            program = Program(
                configs=[entry.config for entry in part],
                folders=[members.folder(workdir, entry.name) for entry in part],
                store=workdir / "programs" / _program_name(part),
                prepared=prepared,
                mode=mode,
                layout=layout,
            )
            programs.append(program)
    return programs


def _members_that_fit(prepared: Prepared) -> int:
    """How many members of a program the budget holds, at least one."""
    params = [
        num_bytes(leaf)
        for name, leaf in prepared.arrays.items()
        if name.startswith("state/params/")
    ]
    return max(1, MEMORY_BUDGET // max(1, STATE_COPIES * sum(params)))


def _program_name(part: Sequence[sweep.Member]) -> str:
    """Changes with the members, so another split can't take over a checkpoint."""
    names = "\n".join(entry.name for entry in part)
    return hashlib.sha256(names.encode()).hexdigest()[:12]
