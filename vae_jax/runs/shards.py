"""A grid in shards, each trained by a program of its own, on any machine.

An engine such as SLURM starts one program for each index. A shard is an ordinary grid
in WORKDIR/shards/I-of-N: it resumes, is locked and is reported as any other. Shards are
blocks of the grid in the order of its programs, so each compiles few of them. What
grid they are shards of stands in WORKDIR/shards/manifest.json, the same for all.
"""

import dataclasses
import hashlib
import json
import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from vae_jax.errors import ConfigError, DataError
from vae_jax.files import writing
from vae_jax.runs import identity, members, processes, sweep
from vae_jax.runs.identity import SHARDS
from vae_jax.storage import lock
from vae_jax.storage.records import read_json, write_json
from vae_jax.training.ensemble import Mode

OWN = "shard.json"  # in the folder of a shard: which grid it belongs to

# Engines that start a program for each index: the variables that hold the index and, if
# they say so, how many there are.
ENGINES = {
    "SLURM": ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    "AWS Batch": ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    "Kubernetes": ("JOB_COMPLETION_INDEX", None),
}


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of a grid to train."""

    index: int  # from 0
    count: int
    command: Sequence[str] = ()  # words that train the grid, without the flag --shard

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The content of manifest.json."""

    fingerprint: str
    mode: str
    count: int
    command: Sequence[str]
    members: Mapping[str, int]  # name -> index of its shard, in the grid's order

    def fill(self, indices: Sequence[int]) -> str:
        """The command that trains these shards one after the other; one line."""
        command = shlex.join(self.command)
        if len(indices) == 1:
            return f"{command} --shard={indices[0]}/{self.count}"
        listed = " ".join(map(str, indices))
        if list(indices) == list(range(self.count)):
            listed = f"$(seq 0 {self.count - 1})"
        return f"for i in {listed}; do {command} --shard=$i/{self.count}; done"


def parse_shard(
    text: str, environment: Mapping[str, str], command: Sequence[str] = ()
) -> Shard:
    """Reads "3/8", or "auto" and "auto/8", whose index an engine gives.

    Args:
        text: the value of the flag --shard. The number may only be left out after auto
            where the engine says how many indices its array has.
        environment: variables of the process.
        command: words that train the grid, without this flag.

    Raises:
        ConfigError: it is no such text, the index is not below the number, no engine is
            known from the variables, or its array can't be the whole grid.
    """
    flag = f"--shard={text}"
    found = re.fullmatch(r"(\d+|auto)(?:/(\d+))?", text)
    if not found or (found[1] != "auto" and found[2] is None):
        raise ConfigError(f"{flag}: must be I/N with I from 0 to N - 1, auto or auto/N")
    if found[1] == "auto":
        index, count = _of_engine(flag, environment, found[2])
    else:
        index, count = int(found[1]), int(found[2])
    if not 0 <= index < count:
        raise ConfigError(
            f"{flag}: shard {index} of {count} shards: the index goes from 0 to one"
            " below their number"
        )
    return Shard(index, count, command)


def _of_engine(
    flag: str, environment: Mapping[str, str], given: str | None
) -> tuple[int, int]:
    """The index from an engine, and the number: the given one, or else its array's."""
    for engine, (index, count) in ENGINES.items():
        if index not in environment:
            continue
        number = given or environment.get(count or "")
        if number is None:
            raise ConfigError(
                f"{flag}: {engine} says which shard this is, {environment[index]}, but"
                " not of how many: give --shard=auto/N"
            )
        if not given and engine == "SLURM":
            first = environment.get("SLURM_ARRAY_TASK_MIN")
            last = environment.get("SLURM_ARRAY_TASK_MAX")
            if (first, last) != ("0", str(int(number) - 1)):
                raise ConfigError(
                    f"{flag}: the array of {number} tasks goes from {first} to {last}:"
                    " number it from 0 without gaps, or give the number of all shards,"
                    " --shard=auto/N"
                )
        return int(environment[index]), int(number)
    names = ", ".join(index for index, _ in ENGINES.values())
    raise ConfigError(f"{flag}: none of {names} is set: give --shard=I/N")


def folder(workdir: pathlib.Path, shard: Shard) -> pathlib.Path:
    """Where a shard of the grid in workdir lies."""
    return workdir / SHARDS.parent / name(shard.index, shard.count)


def name(index: int, count: int) -> str:
    """The name of a shard's folder."""
    return f"{index}-of-{count}"


def enter(
    workdir: pathlib.Path,
    config: ConfigDict,
    grid: Sequence[sweep.Member],
    mode: Mode,
    shard: Shard,
) -> tuple[pathlib.Path, list[sweep.Member]]:
    """Takes a place among the shards of a grid.

    The manifest is written if there is none. Free fields of the config and the command
    may differ from it, see `identity.is_free`; the newer command is kept.

    Args:
        workdir: folder of the whole grid.
        config: config with the values of all fields that are not swept.
        grid: all members.
        mode: see `training.ensemble.over_members`.
        shard: which part to train.

    Returns:
        The folder of the shard, and its members.

    Raises:
        ConfigError: there are more shards than members, or workdir holds something
            else: a run, a whole grid, or shards of another grid that have begun.
        StorageError: workdir can't be written.
    """
    if shard.count > len(grid):
        raise ConfigError(
            f"--shard={shard}: the grid has {len(grid)} members, so at most"
            f" {len(grid)} shards"
        )
    for file, what in (("config.json", "a single run"), ("grid.json", "a whole grid")):
        if (workdir / file).is_file():
            raise ConfigError(f"workdir={workdir} holds {what}: choose another")
    parts = blocks(grid, shard.count)
    of_member = {
        entry.name: index for index, part in enumerate(parts) for entry in part
    }
    manifest = Manifest(
        fingerprint=_fingerprint(config, grid, mode, shard.count),
        mode=mode,
        count=shard.count,
        command=list(shard.command),
        members={entry.name: of_member[entry.name] for entry in grid},
    )
    own = folder(workdir, shard)
    if (workdir / SHARDS).is_file():
        saved = read_manifest(workdir / SHARDS)
        others = [p.parent for p in (workdir / SHARDS.parent).glob(f"*/{OWN}")]
        if saved.fingerprint != manifest.fingerprint and any(map(_is_begun, others)):
            raise ConfigError(
                f"workdir={workdir} holds {saved.count} shards of another grid, of"
                f" {len(saved.members)} members (mode {saved.mode}), made by"
                f" {shlex.join(saved.command)!r}: choose another workdir, or the same"
                " flags"
            )
    if processes.is_first():
        with writing(f"workdir={workdir}"):
            own.mkdir(parents=True, exist_ok=True)
        _write_if_new(workdir / SHARDS, dataclasses.asdict(manifest))
        _write_if_new(own / OWN, {"fingerprint": manifest.fingerprint})
    return own, parts[shard.index]


def read_manifest(path: pathlib.Path) -> Manifest:
    """Reads manifest.json.

    Raises:
        DataError: it is missing, or damaged.
    """
    content = read_json(path)
    try:
        manifest = Manifest(**content)
        if set(manifest.members.values()) != set(range(manifest.count)):
            raise TypeError("members do not lie in all of its shards")
        shlex.join(manifest.command)
    except (AttributeError, TypeError) as error:
        raise DataError(f"{path} is no manifest of shards: {error}") from None
    return manifest


def blocks(grid: Sequence[sweep.Member], count: int) -> list[list[sweep.Member]]:
    """The members in the order of their programs, cut into parts of almost one size."""
    ordered = [entry for part in sweep.programs(grid, len(grid)) for entry in part]
    ends = [number * len(grid) // count for number in range(count + 1)]
    return [ordered[ends[i] : ends[i + 1]] for i in range(count)]


def _fingerprint(
    config: ConfigDict, grid: Sequence[sweep.Member], mode: Mode, count: int
) -> str:
    """Changes with anything that makes another grid, or cuts it otherwise."""
    members = [[entry.name, dict(entry.values)] for entry in grid]
    content = [mode, count, identity.digest(config.to_dict(), {}), members]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _is_begun(folder: pathlib.Path) -> bool:
    """Whether a shard has saved something, or is being trained."""
    finished = any((folder / "members").glob("*/results.json"))
    return finished or members.holds_checkpoint(folder) or lock.is_held(folder)


def _write_if_new(path: pathlib.Path, content: Mapping[str, object]) -> None:
    """Writes JSON, but leaves a file alone that many programs read and that is so."""
    if not (path.is_file() and read_json(path) == content):
        write_json(path, content)
