"""The table of trials: what is promised, and the function that puts it to the test."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tests.torture import damage, disks, foreign, kills, pairs, stops
from tests.torture.outcome import Outcome
from tests.torture.world import World


class Trial(NamedTuple):
    """One row of the table."""

    what: str
    promised: str
    run: Callable[[World, np.random.Generator, pathlib.Path], Outcome]


RESUMED = "resumes exactly"  # bit for bit the straight run, and nothing is left over

TRIALS = {
    "kill": Trial(
        "kill -9 of `train` at random moments", RESUMED, kills.killed_training
    ),
    "kill_grid": Trial(
        "kill -9 of `ablate` at random moments", RESUMED, kills.killed_grid
    ),
    "crash": Trial(
        "a crash at the Nth file operation, half a write included",
        f"the newest committed step is whole; {RESUMED}",
        kills.crash_at_an_operation,
    ),
    "error": Trial(
        "EIO at the Nth file operation",
        f"one line and status 1 within 5 s, or no harm; then {RESUMED}",
        kills.error_at_an_operation,
    ),
    "full": Trial(
        "ENOSPC from the Nth file operation on",
        f"one line and status 1 within 5 s, or no harm; then {RESUMED}",
        kills.full_at_an_operation,
    ),
    "checkpoints": Trial(
        "bits flipped, files cut, zeroed or removed in a checkpoint",
        "noticed, or harmless; a wrong array is never restored",
        damage.checkpoints,
    ),
    "files": Trial(
        "the same, and edits, in config, data, results and metrics",
        "one line, or the right numbers; a change of the first three is said",
        damage.small_files,
    ),
    "signals": Trial(
        "SIGINT, SIGTERM, SIGHUP, one or a burst every 20 ms, at any moment",
        f"one line, status 130, 143 or 129, no traceback; then {RESUMED}",
        stops.signals,
    ),
    "pairs": Trial(
        "two trainings or grids at once in a workdir",
        "one continues, the other is refused with the first one's process; no gap",
        pairs.two_writers,
    ),
    "readers": Trial(
        "restores, `evaluate` and `sample` beside a training",
        "always a whole step, whatever is being deleted",
        pairs.readers,
    ),
    "disk": Trial(
        "a full disk (tmpfs of 16 kB to 2.5 MB, or too few inodes)",
        "one line and status 1 within 5 s; with more room, as if nothing had happened",
        disks.full,
    ),
    "foreign": Trial(
        "a step copied from another run, renamed or linked",
        "set aside or refused with a line; never taken over",
        foreign.foreign,
    ),
}
