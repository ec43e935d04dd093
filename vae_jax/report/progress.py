"""A progress bar on a terminal, a line now and then anywhere else."""

import datetime
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from vae_jax import console

MEMBERS_SHOWN = 10  # lines below the bar of a grid

Metrics = Mapping[str, float]


def pace(done: float, seconds: float, unit: str) -> str:
    """A speed as text: "330 steps/s", and below one a second "3.2 s/step".

    Args:
        done: how many were done.
        seconds: how long that took.
        unit: what is counted, in the singular.

    Returns:
        The text; empty if nothing is done.
    """
    if done <= 0:
        return ""
    rate = done / max(seconds, 1e-9)
    if rate >= 1:
        return f"{rate:,.{0 if rate >= 10 else 1}f} {unit}s/s"
    return f"{1 / rate:,.1f} s/{unit}"


class ProgressBar:
    """Shows what is done, how fast, chosen metrics and the time left, on stderr."""

    def __init__(
        self,
        title: str,
        total: int,
        start: int = 0,
        unit: str = "step",
        seconds_between_lines: float = 10.0,
        silent: bool = False,
    ) -> None:
        """Starts the clock.

        Args:
            title: text in front of the bar.
            total: what there is to do. Of a single thing the share in percent is shown.
            start: what was done before.
            unit: what is counted, in the singular.
            seconds_between_lines: pause between two lines where stderr is no terminal.
            silent: whether to show nothing.
        """
        self._title, self._total, self._unit = title, total, unit
        self._start, self._began = start, time.monotonic()
        self._first: tuple[float, float] | None = None  # what was done first, and when
        self._pause, self._last_line = seconds_between_lines, time.monotonic()
        self._silent, self._note = silent, ""
        self._interactive = console.stderr().is_terminal and not silent
        self._progress = _Bar(
            TextColumn("{task.description}", table_column=_whole()),
            _Count(table_column=_whole()),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            TimeRemainingColumn(elapsed_when_finished=True, table_column=_whole()),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            console=console.stderr(),
            disable=not self._interactive,
            expand=True,
        )
        self._task = self._progress.add_task(
            title, total=total, completed=start, note=""
        )

    def update(
        self,
        done: float,
        metrics: Metrics | None = None,
        *,
        note: str = "",
        members: Mapping[str, Metrics] | None = None,
    ) -> None:
        """Shows what is done.

        Args:
            done: how much of the total.
            metrics: numbers to show, by name.
            note: text to show in front of them. Of a single thing each new one gets a
                line where stderr is no terminal.
            members: metrics of the members of a grid, by name. A terminal shows them
                below the bar, evenly chosen if they are many; elsewhere the range of
                each metric is shown.
        """
        now = time.monotonic()
        if self._first is None and done > self._start:
            self._first = done, now  # what is compiled is compiled by then
        first, since = self._first or (done, now)
        speed = pace(done - first, now - since, self._unit) if self._total > 1 else ""
        numbers = [f"{name} {_number(v)}" for name, v in (metrics or {}).items()]
        if members and not self._interactive:
            numbers += _ranges(members.values())
        words = [word for word in (speed, note, *numbers) if word]
        self._progress.members = members or {}
        self._progress.update(self._task, completed=done, note="  ".join(words))
        is_last, is_new = done >= self._total, self._total == 1 and note != self._note
        self._note = note
        due = now - self._last_line >= self._pause or is_last or is_new
        if self._interactive or self._silent or not due:
            return
        self._last_line = now
        if is_last:
            words.append(f"in {_clock(now - self._began)}")
        elif done > first:
            left = (now - since) * (self._total - done) / (done - first)
            words.append(f"{_clock(left)} left")
        count = _count(done, self._total)
        print(f"{self._title} {count}  {'  '.join(words)}", file=sys.stderr, flush=True)

    def advance(self, done: int, total: int) -> None:
        """Shows how much of a total is done that was not known at the start."""
        self._total = total
        self._progress.update(self._task, total=total)
        self.update(done)

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


class Parts:
    """The named parts of one piece of work, done in turn, as a share of the whole."""

    def __init__(
        self, names: Sequence[str], show: Callable[[float, str], None]
    ) -> None:
        """Nothing is done yet.

        Args:
            names: names of the parts, in their order.
            show: called with the share that is done, from 0 to 1, and the name of the
                part that is being done.
        """
        self._names, self._show, self._now = list(names), show, ""

    def begin(self, name: str) -> None:
        """Says that a part begins, and with it that those before are done."""
        self._now = name
        self.progress(0, 1)

    def progress(self, done: int, total: int) -> None:
        """Says how far the present part is."""
        share = self._names.index(self._now) + done / max(total, 1)
        self._show(share / len(self._names), self._now)


class _Bar(Progress):
    """A bar with a line for each member of a grid below it."""

    members: Mapping[str, Metrics] = {}

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if not self.members:
            return
        names = list(self.members)
        shown = names[:: -(-len(names) // MEMBERS_SHOWN)]
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(max_width=44, no_wrap=True, overflow="ellipsis")
        for name in shown:
            numbers = [f"{k} {_number(v)}" for k, v in self.members[name].items()]
            table.add_row(f"  {name}", *numbers)
        if len(shown) < len(names):
            table.add_row(f"  {len(shown)} of {len(names)} members")
        yield table


class _Count(ProgressColumn):
    """What is done and the total."""

    def render(self, task: Task) -> Text:
        return Text(_count(task.completed, int(task.total or 0)))


def _whole() -> Column:
    """A column that is shown whole."""
    return Column(no_wrap=True)


def _count(done: float, total: int) -> str:
    return f"{done:.0%}" if total == 1 else f"{int(done)}/{total}"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _ranges(members: Iterable[Metrics]) -> list[str]:
    """The least and the largest value of each metric."""
    values: dict[str, list[float]] = {}
    for metrics in members:
        for name, value in metrics.items():
            values.setdefault(name, []).append(value)
    return [
        f"{name} {_number(min(found))} to {_number(max(found))}"
        for name, found in values.items()
    ]


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
