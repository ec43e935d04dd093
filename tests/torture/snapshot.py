"""What a workdir holds, in a form that two of them can be compared in."""

import dataclasses
import hashlib
import json
import pathlib
import threading
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

TIMINGS = {"train_seconds", "images_per_second", "checksum"}
LEFT_OVER = ("*.tmp", "*orbax-checkpoint-tmp*")

# Trials are threads; Orbax's event loops are not made for several at once.
READING = threading.RLock()


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Of a run, or of a grid with its members; keys are paths in the workdir."""

    states: dict[str, str]  # "checkpoints/20" -> digest of parameters and moments
    metrics: dict[str, bytes]
    results: dict[str, dict[str, Any]]  # without what a clock says


def take(workdir: pathlib.Path) -> Snapshot:
    """Reads all of a workdir; a step that can't be read is "unreadable"."""
    return Snapshot(
        {str(step.relative_to(workdir)): state(step) for step in steps(workdir)},
        {
            str(path.relative_to(workdir)): path.read_bytes()
            for path in workdir.rglob("metrics.jsonl")
        },
        {
            str(path.relative_to(workdir)): _numbers(path)
            for path in workdir.rglob("results.json")
        },
    )


def steps(workdir: pathlib.Path) -> list[pathlib.Path]:
    """The committed checkpoints of a run or a grid, oldest first."""
    found = [p for p in workdir.rglob("checkpoints/*") if p.name.isdigit()]
    return sorted(found, key=lambda path: (path.parent, int(path.name)))


def newest(workdir: pathlib.Path) -> dict[pathlib.Path, pathlib.Path]:
    """The last committed step of each folder of checkpoints."""
    return {step.parent: step for step in steps(workdir)}


def arrays(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a pytree by name, whatever its containers are."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def digest(tree: Any) -> str:
    """Of the names, shapes, types and bits of the arrays of a pytree."""
    total = hashlib.sha256()
    for name, array in sorted(arrays(tree).items()):
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def state(step: pathlib.Path) -> str:
    """The digest of one step on disk, or "unreadable"."""
    with READING:
        try:
            return digest(ocp.StandardCheckpointHandler().restore(step / "state"))
        except Exception:  # whatever a damaged file makes of itself
            return "unreadable"


def differences(found: Snapshot, straight: Snapshot) -> list[str]:
    """In what a finished run is not the straight one; steps in between may lack."""
    lines = [
        f"{path} is not what a straight run has"
        for path, state in found.states.items()
        if state != straight.states.get(path)
    ]
    ends = {str(path) for path in _last(straight.states)}
    lines += [f"{path} is missing" for path in sorted(ends - found.states.keys())]
    for kind in ("metrics", "results"):
        mine, theirs = getattr(found, kind), getattr(straight, kind)
        for path in sorted(mine.keys() | theirs.keys()):
            if mine.get(path) != theirs.get(path):
                lines.append(f"{path}: {_difference(mine.get(path), theirs.get(path))}")
    return lines


def left_over(workdir: pathlib.Path) -> list[str]:
    """Temporary files that a finished run should not leave."""
    found = {path for pattern in LEFT_OVER for path in workdir.rglob(pattern)}
    return [f"{path} is left over" for path in sorted(found)]


def _numbers(path: pathlib.Path) -> dict[str, Any]:
    content = json.loads(path.read_bytes())
    return {name: value for name, value in content.items() if name not in TIMINGS}


def _last(states: dict[str, str]) -> list[pathlib.PurePath]:
    paths = sorted(map(pathlib.PurePath, states), key=lambda path: int(path.name))
    return list({path.parent: path for path in paths}.values())


def _difference(mine: Any, theirs: Any) -> str:
    if mine is None or theirs is None:
        return "missing" if mine is None else "not there in a straight run"
    if isinstance(mine, bytes):
        counts = [len(content.splitlines()) for content in (mine, theirs)]
        return f"{counts[0]} lines of {counts[1]}, or other numbers"
    return ", ".join(
        f"{name} {mine.get(name)} for {theirs.get(name)}"
        for name in mine.keys() | theirs.keys()
        if mine.get(name) != theirs.get(name)
    )
