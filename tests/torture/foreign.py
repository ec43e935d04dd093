"""Checkpoints that were copied from another run or renamed to another step."""

import pathlib
import shutil

import numpy as np

from tests.torture import snapshot
from tests.torture.outcome import Outcome
from tests.torture.world import World

LAST = 150  # the step where the run that is tampered with stopped
LATER = (150, 180, 210, 240, 300, 9999)  # where a foreign step is put


def foreign(world: World, rng: np.random.Generator, folder: pathlib.Path) -> Outcome:
    """Puts a step that does not belong there, and goes on."""
    outcome = Outcome()
    workdir = world.unfinished(folder / "run", LAST)
    checkpoints = workdir / "checkpoints"
    kind = rng.choice(["other's", "renamed", "linked", "all"])
    target = checkpoints / str(rng.choice(LATER))
    if kind == "all":
        shutil.rmtree(checkpoints)
        shutil.copytree(world.other.workdir / "checkpoints", checkpoints)
        ended = world.run("train", workdir)
        outcome.count("all of another run, refused")
        ended.check_error(outcome)
        outcome.require("by another run" in ended.err, f"other words: {ended.tail}")
        return outcome
    own = snapshot.steps(workdir)
    if kind == "other's":
        theirs = snapshot.steps(world.other.workdir)
        source = theirs[rng.integers(len(theirs))]
    else:
        source = own[rng.integers(len(own) - 1)]
    if target.exists():
        shutil.rmtree(target)
    if kind == "linked":
        target.symlink_to(source)
    elif kind == "renamed":
        source.rename(target)
    else:
        shutil.copytree(source, target)
    outcome.count("copied, renamed or linked, set aside")
    ended = world.finish(outcome, "train", workdir)
    told = f"of step {target.name} was saved" in ended.err
    where = f"{kind}, {source.name} as {target.name}"
    outcome.require(told, f"{where}: no word of it: {ended.tail}")
    outcome.broken = [f"{where}: {line}" for line in outcome.broken]
    return outcome
