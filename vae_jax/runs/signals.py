"""Signals that ask a program to stop: SIGINT, SIGTERM and SIGHUP.

The first one raises `Interrupted` wherever the program is, and files stay consistent;
within `deferred` it is held until the program asks. Later signals are ignored: a second
one must not interrupt a checkpoint that is being saved.
"""

import contextlib
import functools
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 0.01

_received: list[int] = []
_deferring: list[bool] = []
_again: list[threading.Timer] = []


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to stop; what was trained is saved."""

    def __init__(self, number: int, where: str = "") -> None:
        """Error that says how to resume.

        Args:
            number: number of the signal.
            where: the program was, such as " at step 20 of 40".
        """
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name}{where}; run the same command to resume")
        self.status = 128 + number  # what a shell reports of a program that it ended


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Within it the signals raise `Interrupted`, once.

    A signal that the program was started to ignore, as `nohup` does, stays ignored. In
    another thread than the main one, which gets no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.getsignal(n) for n in NUMBERS}
    heeded = [n for n in NUMBERS if before[n] not in (signal.SIG_IGN, None)]
    for number in heeded:
        signal.signal(number, _note)
    hook = sys.unraisablehook
    own_hook = functools.partial(_raise_again, hook)
    sys.unraisablehook = own_hook
    try:
        yield
    finally:
        if sys.unraisablehook is own_hook:
            sys.unraisablehook = hook
        for number in heeded:
            if signal.getsignal(number) == _note:  # else `ignore` was called within
                signal.signal(number, before[number])
        if _note not in before.values():
            _received.clear()
            while _again:
                _again.pop().cancel()


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], int]]:
    """Holds signals back; the function it yields returns the one that came, or 0.

    A signal that was not asked for raises `Interrupted` at the end. Of several
    processes it is enough that one gets a signal: all see it at the same step.

    Raises:
        Interrupted: see above.
    """
    if jax.process_count() > 1:
        # JAX has taken SIGTERM over; `_note` turns the other signals into it.
        questions = itertools.count()
        yield (
            lambda: (
                signal.SIGTERM
                if multihost_utils.reached_preemption_sync_point(next(questions))
                else 0
            )
        )
        return
    with handled():
        _deferring.append(True)
        try:
            yield lambda: _received[0] if _received else 0
        finally:
            _deferring.pop()
        if _received and not _deferring:
            raise Interrupted(_received[0])


def ignore() -> None:
    """Ignores the signals from here on: the program is over but for its exit."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _note(number: int, frame: FrameType | None) -> None:
    if _received:
        return
    _received.append(number)
    if number != signal.SIGTERM and jax.distributed.is_initialized():
        os.kill(os.getpid(), signal.SIGTERM)  # which JAX passes on to all processes
    elif not _deferring:
        raise Interrupted(number)


def _raise_again(
    hook: Callable[["sys.UnraisableHookArgs"], object],
    unraisable: "sys.UnraisableHookArgs",
) -> None:
    """Sends a signal again whose exception Python had to drop.

    It drops what is raised in a finaliser or a callback of the garbage collection, and
    hands it to `sys.unraisablehook`.
    """
    if not isinstance(unraisable.exc_value, Interrupted):
        hook(unraisable)
        return
    number = unraisable.exc_value.status - 128
    _received.clear()
    timer = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
    _again.append(timer)
