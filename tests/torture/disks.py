"""A disk of its own that is too small, then larger."""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

import numpy as np

from tests.torture.outcome import Outcome
from tests.torture.world import World


def full(world: World, rng: np.random.Generator, folder: pathlib.Path) -> Outcome:
    """Trains on a tmpfs that gets full, makes room and goes on."""
    outcome = Outcome()
    fields = {"eval.figures": bool(rng.random() < 0.3)}
    size = f"size={int(np.exp(rng.uniform(np.log(16), np.log(2500))))}k"
    limit = f"nr_inodes={rng.integers(8, 150)}" if rng.random() < 0.3 else size
    try:
        with _mounted(folder, limit) as disk:
            ended = world.run("train", disk / "run", fields=fields)
            if ended.status == 0:
                outcome.count("large enough")
                ended.check_tidy(outcome)
            else:
                outcome.count("full")
                ended.check_error(outcome)
            outcome.broken = [f"{limit}, {fields}: {line}" for line in outcome.broken]
            _mount("-o", "remount,size=64m,nr_inodes=10000", disk)
            again = world.run("train", disk / "run", fields=fields)
            again.check_good(outcome)
            world.compare(outcome, "train", disk / "run")
    except PermissionError as error:
        outcome.skipped = str(error)
    return outcome


@contextlib.contextmanager
def _mounted(folder: pathlib.Path, limit: str) -> Iterator[pathlib.Path]:
    disk = folder / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", limit, "tmpfs", disk)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _mount(*arguments: object) -> None:
    """Mounts; raises PermissionError where that needs rights that are lacking."""
    try:
        done = subprocess.run(
            ["mount", *map(str, arguments)], capture_output=True, text=True
        )
    except FileNotFoundError:
        raise PermissionError("there is no mount") from None
    if done.returncode:
        raise PermissionError(f"mounting is not allowed here ({done.stderr.strip()})")
