"""How a training is cut into chunks of steps.

A chunk ends where something is due: a report, an evaluation, a checkpoint. It ends
earlier where memory or patience would not last: while the device works on one, no
signal is heeded.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Steps of a chunk's input. Where there is one, the compiler knows which it is, takes
# what does not change out of the loop, and rounds otherwise than for longer chunks.
SHORTEST = 2
LONGEST_BLOCK = 100  # steps; a loop that asks the host so rarely loses nothing by it
CHUNK_SECONDS = 2.0  # for so long, about, the device has its orders


class Pace:
    """How many steps the device is handed at once: as many as take some seconds.

    Between two chunks a signal is heeded and progress is shown. The first chunks are
    short, and each has at most twice the length of the one before.
    """

    def __init__(
        self,
        block: int = 1,
        seconds: float = CHUNK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begins with the shortest chunks.

        Args:
            block: number that divides each length, see `compile_chunk`.
            seconds: what a chunk takes, about.
            clock: gives the time in seconds.
        """
        self._block, self._seconds, self._clock = block, seconds, clock
        self._last: float | None = None
        self.steps = block

    def made(self, steps: int) -> None:
        """Notes that a chunk of so many steps is computed."""
        now = self._clock()
        if self._last is not None:  # the first one had to be compiled
            wanted = int(self._seconds * steps / max(now - self._last, 1e-9))
            within = min(max(wanted, self.steps // 2), 2 * self.steps)
            self.steps = max(within // self._block * self._block, self._block)
        self._last = now


class Span(NamedTuple):
    """Steps that are run as one chunk, and what is due at their end."""

    start: int  # number of updates made before
    end: int  # and after
    padded: int  # length of the longest span, and so of every chunk's input
    reports: bool
    evaluates: bool
    saves: bool
    decides: bool = False  # what is evaluated decides whether another span comes


def spans(
    start: int,
    num_steps: int,
    log_every: int,
    *,
    eval_every: int = 0,
    checkpoint_every: int = 0,
    max_chunk: int | None = None,
    pace: Pace | None = None,
    decides: bool = False,
) -> Iterator[Span]:
    """Cuts a training into spans, lazily.

    Args:
        start: number of updates already made.
        num_steps: number of updates at the end; evaluated, if anything is, and saved.
        log_every: steps per report, and so per span at most.
        eval_every: an evaluation after each multiple of it; 0: none.
        checkpoint_every: a save after each multiple of it; 0: only at the end.
        max_chunk: fewer steps per span where memory is short.
        pace: fewer steps per span where they are slow.
        decides: whether training may end after each evaluation.

    Yields:
        Spans without gaps from `start` to `num_steps`. One ends at each multiple of
        the three numbers, wherever training was begun or went on, and reports.
    """
    periods = [n for n in (log_every, eval_every, checkpoint_every) if n]
    # No span is longer, so its rows need not be: one may log "never".
    longest = min(num_steps, max_chunk or num_steps, *periods)
    padded = max(longest, SHORTEST)
    while start < num_steps:
        due = min(num_steps, *((start // n + 1) * n for n in periods))
        most = min(longest, pace.steps) if pace else longest
        end = min(due, start + most)
        is_end = end == num_steps
        evaluates = bool(eval_every) and (is_end or end % eval_every == 0)
        yield Span(
            start,
            end,
            padded,
            reports=end == due,
            evaluates=evaluates,
            saves=is_end or (bool(checkpoint_every) and end % checkpoint_every == 0),
            decides=evaluates and decides,
        )
        start = end


def block_length(start: int, num_steps: int, *periods: int | None) -> int:
    """A number that divides the length of each of `spans`, `LONGEST_BLOCK` at most.

    Args:
        start: number of updates already made.
        num_steps: number of updates at the end.
        *periods: `log_every`, `eval_every`, `checkpoint_every` and `max_chunk` of
            `spans`.
    """
    inside = (n for n in periods if n and n < num_steps)
    common = math.gcd(start, num_steps, *inside)
    return next(n for n in range(LONGEST_BLOCK, 0, -1) if common % n == 0)
