"""A progress bar on a terminal, a line now and then anywhere else."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressBar:
    """Shows step, steps per second, chosen metrics and the time left, on stderr."""

    def __init__(
        self,
        title: str,
        total: int,
        start: int = 0,
        unit: str = "steps",
        seconds_between_lines: float = 10.0,
        silent: bool = False,
    ) -> None:
        """Starts the clock.

        Args:
            title: text in front of the bar.
            total: number of steps at the end.
            start: steps already made.
            unit: what is counted.
            seconds_between_lines: pause between two lines where stderr is no terminal.
            silent: whether to show nothing.
        """
        self._title, self._total, self._unit = title, total, unit
        self._first_step, self._first_time = start, time.monotonic()
        self._pause, self._last_line = seconds_between_lines, time.monotonic()
        self._silent = silent
        console = Console(stderr=True, quiet=silent)
        self._interactive = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not self._interactive,
        )
        self._task = self._progress.add_task(
            title, total=total, completed=start, note=""
        )

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows a step and its metrics, given with the names to print."""
        elapsed = max(time.monotonic() - self._first_time, 1e-9)
        rate = (step - self._first_step) / elapsed
        note = "  ".join(
            [
                f"{rate:,.0f} {self._unit}/s",
                *(f"{k} {v:.2f}" for k, v in metrics.items()),
            ]
        )
        self._progress.update(self._task, completed=step, note=note)
        due = time.monotonic() - self._last_line >= self._pause or step == self._total
        if not self._interactive and not self._silent and due:
            self._last_line = time.monotonic()
            left = (self._total - step) / rate if rate else float("inf")
            print(
                f"{self._title} {step}/{self._total}  {note}  {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def advance(self, done: int, total: int) -> None:
        """Shows how much of a total is done that was not known at the start."""
        self._total = total
        self._progress.update(self._task, total=total)
        self.update(done, {})

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
