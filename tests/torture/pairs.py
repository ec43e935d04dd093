"""Two programs at once in one workdir."""

import pathlib
import signal
import time

import numpy as np

from tests.torture import snapshot
from tests.torture.outcome import Outcome
from tests.torture.programs import Program
from tests.torture.world import MEMBER, WEIGHT, World
from vae_jax.errors import VAEJaxError
from vae_jax.runs.opened import open_run

READS = 12  # restores beside a training that deletes old steps all the time


def two_writers(
    world: World, rng: np.random.Generator, folder: pathlib.Path
) -> Outcome:
    """Two trainings, two grids, or a training in the folder of a grid's member."""
    outcome = Outcome()
    kind = rng.choice(["train", "ablate", "member"])
    name, workdir = "train" if kind == "train" else "ablate", folder / "run"
    first = world.start(name, workdir)
    if kind == "member":
        while not (workdir / "grid.json").is_file() and first.sleep(0.01):
            pass
    first.sleep(rng.choice([0, 0.3, 0.7, 1.1]) * getattr(world, name).seconds)
    if kind == "member":
        weight = {"hparams.kl_weight": WEIGHT}
        second = world.start("train", workdir / MEMBER, fields=weight)
    else:
        second = world.start(name, workdir)
    _check_pair(outcome, first, second)
    world.finish(outcome, name, workdir)
    return outcome


def _check_pair(outcome: Outcome, first: Program, second: Program) -> None:
    """One goes on; the other is refused by name, or found all finished."""
    programs = (first, second)
    ended = [program.wait() for program in programs]
    refused = [n for n in (0, 1) if ended[n].status]
    outcome.count("pairs")
    outcome.require(len(refused) < 2, f"both end: {[e.tail for e in ended]}")
    if not refused:
        outcome.count("second one came after the end")
    for n in refused:
        outcome.count("refused by name")
        ended[n].check_error(outcome)
        named = f"pid {programs[1 - n].pid} on" in ended[n].err
        outcome.require(named, f"the other is not named: {ended[n].tail}")
    for end in ended:
        end.check_tidy(outcome)


def readers(world: World, rng: np.random.Generator, folder: pathlib.Path) -> Outcome:
    """Opens, evaluates and samples a run that keeps one checkpoint and saves often."""
    outcome = Outcome()
    workdir = folder / "run"
    fields = {
        "train.num_steps": 100_000,
        "train.max_to_keep": 1,
        "train.log_every": 5,
        "train.checkpoint_every": 5,
    }
    training = world.start("train", workdir, fields=fields)
    while not snapshot.steps(workdir) and training.sleep(0.1):
        pass
    for _ in range(READS):
        outcome.count("restores")
        try:
            with snapshot.READING:
                open_run(workdir)
        except VAEJaxError as error:
            outcome.require(False, f"open_run: {error}")
        time.sleep(rng.uniform(0, 0.1))
    for program, *arguments in (
        ("evaluate", "--num_samples=3"),
        ("sample", "--num=2", f"--out={folder / 'z.npz'}"),
    ):
        outcome.count("programs")
        ended = world.run(program, workdir, *arguments)
        ended.check_good(outcome)
        outcome.require("damaged" not in ended.err, f"{program}: {ended.tail}")
    training.send(signal.SIGTERM)
    ended = training.wait()
    ended.check_tidy(outcome)
    outcome.require(ended.status == 143, f"the training: {ended.tail}")
    moved = (workdir / "checkpoints" / "damaged").exists()
    outcome.require(not moved, "a reader moved a checkpoint")
    return outcome
