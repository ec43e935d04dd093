"""SIGINT, SIGTERM and SIGHUP, one or many, at any moment of a program."""

import pathlib
import re

import numpy as np

from tests.torture.outcome import Outcome
from tests.torture.programs import Program
from tests.torture.world import World
from vae_jax.runs.signals import NUMBERS

GAP_S = 0.02  # between the signals of a burst
BURST = 1500


def signals(world: World, rng: np.random.Generator, folder: pathlib.Path) -> Outcome:
    """Stops a program that was started as a user does, and goes on with it."""
    outcome = Outcome()
    name, workdir = "ablate" if rng.random() < 0.3 else "train", folder / "run"
    program = world.start(name, workdir, fresh=True)
    sent = [int(n) for n in rng.choice(NUMBERS, BURST)]
    del sent[int(rng.choice([1, 2, 3, BURST])) :]
    start_up = world.fresh_seconds - world.train.seconds
    seconds = start_up + getattr(world, name).seconds
    world.reach_a_moment(rng, program, workdir, seconds)
    catches = _send(program, sent)
    ended = program.wait()
    stopped = re.findall(r"^stopped by (SIG\w+)", ended.err, flags=re.MULTILINE)
    last = "results.json" if name == "train" else "report.html"
    finished = (workdir / last).is_file()
    where = f"{name}, {len(sent)} signals from {sent[0]}: {ended.tail}"
    broken = Outcome()
    broken.require(not ended.hung, "no end")
    if ended.status == 0:
        outcome.count("came after the end")
        broken.require(finished and not stopped, "status 0 but not finished")
        ended.check_tidy(broken)
    elif not catches and not stopped:
        # Python itself was starting: the system or Python ends the process.
        outcome.count("came before the program's first line")
        broken.require(not workdir.exists(), "something was written")
    else:
        outcome.count("stopped by a burst" if len(sent) > 3 else "stopped")
        outcome.count("of these in training", " at step " in ended.err)
        broken.require(len(stopped) == 1, f"{len(stopped)} lines")
        ended.check_tidy(broken)
        statuses = {n.name: 128 + n for n in NUMBERS if n in sent}
        status = statuses.get(stopped[0]) if stopped else None
        broken.require(ended.status == status, f"status {ended.status}")
    outcome.add_at(broken, where)
    world.finish(outcome, name, workdir)
    return outcome


def _send(program: Program, numbers: list[int]) -> bool:
    """Sends signals; whether the program had a handler when the first one came."""
    catches = program.catches(NUMBERS[1])
    for number in numbers:
        program.send(number)
        if not program.sleep(GAP_S):
            break
    return catches
