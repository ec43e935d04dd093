"""kill -9, at random moments and at every file operation."""

import errno
import pathlib
import signal

import numpy as np

from tests.torture import faults, snapshot
from tests.torture.faults import Mode
from tests.torture.outcome import Outcome
from tests.torture.world import World


def killed_training(
    world: World, rng: np.random.Generator, folder: pathlib.Path
) -> Outcome:
    """Kills one training up to four times, then lets it finish."""
    return _killed(world, rng, folder, "train")


def killed_grid(
    world: World, rng: np.random.Generator, folder: pathlib.Path
) -> Outcome:
    """The same with two members as one program."""
    return _killed(world, rng, folder, "ablate")


def _killed(
    world: World, rng: np.random.Generator, folder: pathlib.Path, name: str
) -> Outcome:
    outcome = Outcome()
    outcome.count("runs")
    workdir = folder / "run"
    seconds = getattr(world, name).seconds
    for _ in range(rng.integers(1, 5)):
        program = world.start(name, workdir)
        world.reach_a_moment(rng, program, workdir, seconds)
        program.send(signal.SIGKILL)
        ended = program.wait()
        outcome.require("Traceback" not in ended.err, f"a traceback: {ended.tail}")
        if ended.status:
            outcome.count("kills")
            outcome.count("after a checkpoint", bool(snapshot.steps(workdir)))
    world.finish(outcome, name, workdir)
    return outcome


def crash_at_an_operation(
    world: World, rng: np.random.Generator, folder: pathlib.Path
) -> Outcome:
    """Ends a training at its Nth file operation; a write is half done."""
    return _at_an_operation(world, rng, folder, Mode.CRASH)


def error_at_an_operation(
    world: World, rng: np.random.Generator, folder: pathlib.Path
) -> Outcome:
    """The Nth file operation fails once with EIO."""
    return _at_an_operation(world, rng, folder, Mode.ONCE, errno.EIO)


def full_at_an_operation(
    world: World, rng: np.random.Generator, folder: pathlib.Path
) -> Outcome:
    """From the Nth file operation on, each fails with ENOSPC."""
    return _at_an_operation(world, rng, folder, Mode.FULL, errno.ENOSPC)


def _at_an_operation(
    world: World,
    rng: np.random.Generator,
    folder: pathlib.Path,
    mode: Mode,
    error: int = 0,
) -> Outcome:
    outcome = Outcome()
    if world.library is None:
        outcome.skipped = "there is no C compiler"
        return outcome
    name = "ablate" if rng.random() < 0.2 else "train"
    workdir, counter = folder / "run", folder / "counter"
    # So that it falls into any part of the run, the operations are counted first.
    nth = int(rng.integers(1, operations(world, folder, name) + 1))
    prepare = faults.arming(workdir, counter, nth, mode, error)
    ended = world.run(name, workdir, prepare=prepare)
    record = faults.read_record(counter)
    where = f"{mode.name} at {nth}, {record.what}"
    faulted = Outcome()
    if not record.fired:
        outcome.count("not reached")  # an operation less than in another run
    elif mode == Mode.CRASH:
        outcome.count("crashes")
        faulted.require(ended.status == faults.CRASHED, f"status {ended.status}")
        faulted.require("Traceback" not in ended.err, f"a traceback: {ended.tail}")
    elif ended.status == 0:
        outcome.count("without harm")
        ended.check_tidy(faulted)
        world.compare(faulted, name, workdir)
    else:
        outcome.count("errors reported")
        ended.check_error(faulted)
    if record.fired:
        outcome.count(f"at {record.what.split()[0]}")
    _check_newest(world, faulted, name, workdir)
    world.finish(faulted, name, workdir)
    outcome.add_at(faulted, where)
    return outcome


def operations(world: World, folder: pathlib.Path, name: str) -> int:
    """How many file operations a straight run makes."""
    if name not in world.operations:
        counter = folder / "counter"
        prepare = faults.arming(folder / "counted", counter)
        world.run(name, folder / "counted", prepare=prepare)
        world.operations[name] = faults.read_record(counter).count
    return world.operations[name]


def _check_newest(
    world: World, outcome: Outcome, name: str, workdir: pathlib.Path
) -> None:
    """The last committed step of each folder is whole."""
    states = getattr(world, name).snapshot.states
    found = snapshot.take(workdir).states if workdir.is_dir() else {}
    for step in snapshot.newest(workdir).values():
        path = str(step.relative_to(workdir))
        outcome.require(found[path] == states.get(path), f"{path} is not whole")
