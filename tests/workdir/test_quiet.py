"""What TensorStore prints of reads that nobody waits for any more."""

import asyncio
import sys
import types

import pytest

from vae_jax.workdir.quiet import quieten


@pytest.fixture
def seen(monkeypatch):
    """What reaches the hook that was there before."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    quieten()
    quieten()  # as each new `Checkpoints` does
    return seen


def raised() -> tuple[RuntimeError, types.TracebackType]:
    """The error of a call on a closed loop, with its outermost frame."""
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed") as caught:
        loop.call_soon_threadsafe(print)
    return caught.value, caught.value.__traceback__


def unraisable(error, traceback):
    return types.SimpleNamespace(exc_value=error, exc_traceback=traceback)


def test_a_late_read_is_not_told(seen):
    error, traceback = raised()
    sys.unraisablehook(unraisable(error, traceback.tb_next))  # as if C++ had called
    assert not seen


def test_everything_else_is(seen):
    error, traceback = raised()
    others = [
        unraisable(error, traceback),  # Python code called
        unraisable(RuntimeError("other"), traceback.tb_next),
        unraisable(error, None),
    ]
    for other in others:
        sys.unraisablehook(other)
    assert seen == others
