"""Programs that are started, watched, stopped and timed."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from tests import forked_programs
from tests.runs_helpers import REPOSITORY
from tests.torture.outcome import Outcome

TIMEOUT_S = 120.0
PARTING_S = 5.0  # that a program may take from its error line to its end
POLL_S = 0.01


@dataclasses.dataclass(frozen=True)
class Ended:
    """A program that is over."""

    status: int  # minus the signal that ended it, as in subprocess
    out: str
    err: str
    seconds: float
    parting: float  # seconds from its error line to its end; 0 without one
    hung: bool  # it did not end by itself

    def errors(self) -> list[str]:
        """Its error lines."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    def check_tidy(self, outcome: Outcome) -> None:
        """It ended by itself and printed no traceback."""
        outcome.require(not self.hung, f"no end within {TIMEOUT_S:.0f} s: {self.tail}")
        outcome.require("Traceback" not in self.err, f"a traceback: {self.tail}")

    def check_good(self, outcome: Outcome) -> None:
        """It did what it was asked to."""
        self.check_tidy(outcome)
        outcome.require(self.status == 0, f"status {self.status}: {self.tail}")

    def check_error(self, outcome: Outcome) -> None:
        """It ended with one line and status 1, soon after the line."""
        self.check_tidy(outcome)
        told = self.status == 1 and len(self.errors()) == 1
        outcome.require(told, f"status {self.status}, not one line: {self.tail}")
        late = f"{self.parting:.1f} s from the error line to the end"
        outcome.require(self.parting <= PARTING_S, late)
        outcome.parting = max(outcome.parting, self.parting)

    @property
    def tail(self) -> str:
        """The end of what it told, on one line."""
        return " / ".join(self.err.splitlines()[-8:])[-800:]


class Program:
    """A program that runs.

    Args:
        folder: for its stdout and stderr; made.
        name: of the program.
        arguments: its flags.
        prepare: called in it before it begins; for a fork only.
        fresh: a new interpreter rather than a fork of one that has imported all.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        name: str,
        arguments: list[str],
        prepare: Callable[[], None] | None = None,
        fresh: bool = False,
    ) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._started = time.monotonic()
        self._fork = self._fresh = None
        if fresh:
            with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
                self._fresh = subprocess.Popen(
                    [sys.executable, "-m", f"experiments.{name}", *arguments],
                    cwd=REPOSITORY,
                    stdout=out,
                    stderr=err,
                )
            self.pid = self._fresh.pid
        else:
            self._fork = forked_programs.start_program(
                folder, name, *arguments, prepare=prepare
            )
            assert self._fork.pid is not None
            self.pid = self._fork.pid

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        if self._fresh is not None:
            return self._fresh.poll()
        assert self._fork is not None
        return self._fork.exitcode

    def send(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def sleep(self, seconds: float) -> bool:
        """Waits so long; False if it ended before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.poll() is not None:
                return False
            time.sleep(POLL_S)
        return self.poll() is None

    def catches(self, number: int) -> bool:
        """Whether it has a handler for a signal by now."""
        try:
            text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return False
        caught = next(line for line in text.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)

    def wait(self) -> Ended:
        """Waits for its end."""
        told = None
        deadline = time.monotonic() + TIMEOUT_S
        hung = False
        while self.poll() is None:
            if told is None and b"error: " in self._read("err"):
                told = time.monotonic()
            if time.monotonic() > deadline:
                hung = True
                os.kill(self.pid, signal.SIGKILL)
                deadline += TIMEOUT_S
            time.sleep(POLL_S)
        now = time.monotonic()
        status = self.poll()
        assert status is not None
        return Ended(
            status,
            self._read("out").decode(errors="replace"),
            self._read("err").decode(errors="replace"),
            now - self._started,
            0.0 if told is None else now - told,
            hung,
        )

    def _read(self, name: str) -> bytes:
        path = self._folder / name
        return path.read_bytes() if path.exists() else b""
