"""The runs that every trial uses, and the straight ones that it compares with."""

import dataclasses
import itertools
import os
import pathlib
import shutil
import threading
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from tests import forked_programs
from tests.runs_helpers import flags
from tests.torture import faults, snapshot
from tests.torture.outcome import Outcome
from tests.torture.programs import Ended, Program
from vae_jax.storage.quiet import quieten

# Not all of a straight run's checkpoints may go: trials compare with those in between.
KEEP_ALL: Mapping[str, object] = {"train.max_to_keep": 1000}
FIELDS = {"train.num_steps": 240, "train.checkpoint_every": 30, "train.eval_every": 80}
ROUGH = 1.2  # a moment may also come a little after a straight run would have ended
TRAINING = 0.4  # of a run, with the evaluation; about
WEIGHT = 0.5  # of one member
MEMBER = f"members/kl_weight={WEIGHT},seed=0"
SWEEP = f"--sweep=hparams.kl_weight={WEIGHT},2"


@dataclasses.dataclass(frozen=True)
class Straight:
    """An undisturbed run."""

    workdir: pathlib.Path
    snapshot: snapshot.Snapshot
    seconds: float  # it took, with a warm compilation cache


class World:
    """Starts programs, and holds what they should come to.

    Args:
        folder: for everything that is shared by the trials.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._count, self._folder = itertools.count(), folder
        self._passed: dict[tuple[str, int], dict[str, str]] = {}
        self._passing = threading.Lock()
        self._logs = folder / "logs"
        self.operations: dict[str, int] = {}  # that a straight run makes, once counted
        self.library = faults.compile_library(folder)
        # Within the suite, that of all tests.
        cache = os.environ.setdefault(
            "JAX_COMPILATION_CACHE_DIR", str(folder / "cache")
        )
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        jax.config.update("jax_compilation_cache_dir", cache)
        quieten()
        logging.set_verbosity(logging.ERROR)
        if self.library is not None:
            os.environ["LD_PRELOAD"] = str(self.library)
        forked_programs.forking()
        os.environ.pop("LD_PRELOAD", None)
        self.other = self._straight(folder / "other", "train", {"seed": 1})
        self.train = self._straight(folder / "train", "train")
        self.ablate = self._straight(folder / "ablate", "ablate")
        fresh = self.run("train", folder / "fresh", fresh=True)
        self.fresh_seconds = fresh.seconds
        found = snapshot.take(folder / "fresh")
        for difference in snapshot.differences(found, self.train.snapshot):
            raise AssertionError(f"a fork is no program: {difference}")

    def start(
        self,
        name: str,
        workdir: pathlib.Path | None,
        *arguments: str,
        prepare: Callable[[], None] | None = None,
        fresh: bool = False,
        fields: Mapping[str, object] = types.MappingProxyType({}),
    ) -> Program:
        """Starts a program on a workdir; fields as {"a.b": value}."""
        own = [] if workdir is None else [f"--workdir={workdir}"]
        if name in ("train", "ablate"):
            config = flags(**{**FIELDS, **fields})
            own += ["--config=configs/digits.py", *config]
        if name == "ablate":
            own.append(SWEEP)
        logs = self._logs / str(next(self._count))
        return Program(logs, name, [*own, *arguments], prepare, fresh)

    def run(
        self, name: str, workdir: pathlib.Path | None, *arguments: str, **more: Any
    ) -> Ended:
        """Runs a program to its end; the arguments of `start`."""
        return self.start(name, workdir, *arguments, **more).wait()

    def reach_a_moment(
        self,
        rng: np.random.Generator,
        program: Program,
        workdir: pathlib.Path,
        seconds: float,
    ) -> None:
        """Waits for any moment of a program, or for one after training has begun.

        Start-up takes the most time, and there is least to lose in it.
        """
        if rng.random() < 0.6:
            while not any(workdir.rglob("metrics.jsonl")) and program.sleep(0.01):
                pass
            seconds *= TRAINING
        program.sleep(rng.uniform(0, ROUGH * seconds))

    def finish(
        self, outcome: Outcome, name: str, workdir: pathlib.Path, tidy: bool = True
    ) -> Ended:
        """Runs `name` once more, undisturbed, and compares with the straight run."""
        ended = self.run(name, workdir)
        ended.check_good(outcome)
        self.compare(outcome, name, workdir)
        if tidy:
            outcome.require_none(snapshot.left_over(workdir), "after the end")
        return ended

    def compare(self, outcome: Outcome, name: str, workdir: pathlib.Path) -> None:
        """Compares a finished run with the straight one."""
        straight: Straight = getattr(self, name)
        found, wanted = snapshot.take(workdir), straight.snapshot
        # At a signal a step is saved that the straight run only passes.
        for path in found.states.keys() - wanted.states.keys():
            passed = self._states_at(name, int(pathlib.PurePath(path).name))
            wanted = dataclasses.replace(wanted, states=passed | wanted.states)
        differences = snapshot.differences(found, wanted)
        outcome.require_none(differences, "the finished run")

    def _states_at(self, name: str, step: int) -> dict[str, str]:
        """Those of a straight run that ends at a step; none if there can't be one."""
        with self._passing:
            if (name, step) not in self._passed:
                folder = self._folder / f"{name}-{step}"
                self.run(name, folder, fields={"train.num_steps": step})
                self._passed[name, step] = {
                    path: state
                    for path, state in snapshot.take(folder).states.items()
                    if int(pathlib.PurePath(path).name) == step
                }
            return self._passed[name, step]

    def copy(self, name: str, folder: pathlib.Path) -> pathlib.Path:
        """A workdir like that of a straight run."""
        straight: Straight = getattr(self, name)
        return pathlib.Path(shutil.copytree(straight.workdir, folder, symlinks=True))

    def unfinished(self, folder: pathlib.Path, last: int) -> pathlib.Path:
        """A copy of the straight training as if it had been killed after a step."""
        self.copy("train", folder)
        (folder / "results.json").unlink()
        for step in snapshot.steps(folder):
            if int(step.name) > last:
                shutil.rmtree(step)
        return folder

    def _straight(
        self, folder: pathlib.Path, name: str, fields: Mapping[str, object] = KEEP_ALL
    ) -> Straight:
        ended = self.run(name, folder, fields={**KEEP_ALL, **fields})
        if ended.status:
            raise AssertionError(f"the straight {name} fails: {ended.tail}")
        return Straight(folder, snapshot.take(folder), ended.seconds)
