"""Shards of a grid put together again: what has finished, failed and is missing."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vae_jax.errors import ConfigError, DataError
from vae_jax.flat import flatten
from vae_jax.runs import identity, members, shards
from vae_jax.runs.identity import SHARDS
from vae_jax.storage import lock
from vae_jax.storage.records import read_json

NAMED = 5  # members whose names a sentence gives; the others are counted


class Gathered(NamedTuple):
    """What shards of one grid hold."""

    manifest: shards.Manifest
    runs: Mapping[pathlib.Path, int | None]  # folder -> step of failure, grid's order
    missing: Mapping[str, int]  # name of a member -> index of its shard
    holes: Sequence[int]  # shards with members missing
    locked: Sequence[int]  # those of them that a program may train now

    @property
    def commands(self) -> list[str]:
        """What trains all shards, and in comments and a command what is not there."""
        whole = self.manifest.fill(range(self.manifest.count))
        fill = self._fill
        return [whole, *(s if s == fill else f"# {s}" for s in self.sentences)]

    @property
    def _fill(self) -> str | None:
        """The command that trains the shards with members missing."""
        return self.manifest.fill(self.holes) if self.holes else None

    @property
    def sentences(self) -> list[str]:
        """What is missing and failed, and the command that fills the holes."""
        total, found = len(self.manifest.members), []
        failed = [path.name for path, step in self.runs.items() if step is not None]
        if failed:
            found.append(f"{len(failed)} of {total} members failed: {_named(failed)}.")
        if self._fill:
            found.append(
                f"{len(self.missing)} of {total} members are missing:"
                f" {_named(list(self.missing))}. To train them:"
            )
            found.append(self._fill)
            listed = ",".join(map(str, self.holes))
            found.append(f"The indices for an array of jobs: {listed}")
        if self.locked:
            listed = ", ".join(map(str, self.locked))
            found.append(f"A program holds the lock of shard {listed}.")
        return found


def shards_of(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of all shards of a grid, or of the one that lies in a folder itself.

    Args:
        folder: any folder; without shards, there are none.
    """
    folder = pathlib.Path(os.path.abspath(folder))  # those of one grid have one parent
    if (folder / SHARDS).is_file():
        return _folders(folder / SHARDS.parent, shards.read_manifest(folder / SHARDS))
    return [folder] if (folder / shards.OWN).is_file() else []


def gather(given: Sequence[pathlib.Path]) -> Gathered:
    """Looks through shards of one grid.

    Args:
        given: folders of shards, of one folder `shards`; they need not exist. Shards of
            the grid that have no folder yet count as given.

    Raises:
        ConfigError: a shard belongs to another grid, or nothing has finished.
        DataError: a file is damaged, or members were trained on different data.
    """
    parent = given[0].parent
    if not (parent / SHARDS.name).is_file():
        raise ConfigError(
            f"{given[0]} is a shard of a grid, and {parent / SHARDS.name} is not there:"
            " copy it, too"
        )
    manifest = shards.read_manifest(parent / SHARDS.name)
    folders = _folders(parent, manifest)
    for folder in given:
        if folder in folders and not folder.exists():
            continue
        own = read_json(folder / shards.OWN).get("fingerprint")
        if folder not in folders or own != manifest.fingerprint:
            raise ConfigError(
                f"{folder} is a shard of another grid than {parent / SHARDS.name} is of"
            )
    asked = {i for i, path in enumerate(folders) if path in given or not path.exists()}
    failed = {index: members.failed(folders[index]) for index in asked}
    runs: dict[pathlib.Path, int | None] = {}
    missing: dict[str, int] = {}
    for name, index in manifest.members.items():
        if index not in asked:
            continue
        run = members.folder(folders[index], name)
        if (run / "results.json").is_file():
            runs[run] = None
        elif name in failed[index]:
            runs[run] = failed[index][name]
        else:
            missing[name] = index
    _check_same_data(list(runs))
    holes = sorted(set(missing.values()))
    if not runs:
        raise ConfigError(
            f"{parent}: none of the {len(missing)} members has finished; to train them:"
            f" {manifest.fill(holes)}"
        )
    locked = [index for index in holes if lock.is_held(folders[index])]
    return Gathered(manifest, runs, missing, holes, locked)


def _folders(parent: pathlib.Path, manifest: shards.Manifest) -> list[pathlib.Path]:
    return [parent / shards.name(i, manifest.count) for i in range(manifest.count)]


def _check_same_data(runs: Sequence[pathlib.Path]) -> None:
    """Refuses members that read other data, as shards on several machines may.

    Raises:
        DataError: two runs with the same section `data` have other fingerprints.
    """
    seen: dict[str, tuple[str, pathlib.Path]] = {}
    for run in runs:
        fields = flatten(read_json(run / "config.json")).items()
        own = {k: v for k, v in fields if k[:5] == "data." and not identity.is_free(k)}
        fingerprint = str(identity.read_data(run)["fingerprint"])
        first, other = seen.setdefault(repr(sorted(own.items())), (fingerprint, run))
        if first != fingerprint:
            raise DataError(
                f"{run} was trained on other data than {other}: train one of the two"
                " shards again where the data are the same"
            )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
