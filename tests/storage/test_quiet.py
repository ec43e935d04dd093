"""What is printed of reads that nobody waits for any more."""

import asyncio
import gc
import sys
import types

import pytest

from vae_jax.storage.quiet import quieten


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


@pytest.fixture
def new_objects_only():
    """Keeps the millions of objects of other tests out of what is looked through."""
    gc.freeze()
    yield
    gc.unfreeze()


MESSAGE = 'Error reading "a" in OCDBT database'


class Read:
    """An awaitable that is no coroutine and fails, as a read of TensorStore."""

    def __init__(self, iterator):
        self.iterator = iterator

    def __await__(self):
        return self.iterator


def in_python():
    raise ValueError(MESSAGE)
    yield


def fail_unheard(read=None, message=""):
    """Leaves a failed task, or a failed future without a traceback, to itself."""

    async def reading():
        if read is not None:
            asyncio.ensure_future(read)
            await asyncio.sleep(0)
        else:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(ValueError(message))

    asyncio.run(reading())
    gc.collect()


@pytest.mark.usefixtures("new_objects_only")
def test_a_second_read_that_fails_is_not_told(seen, caplog):
    # `int` raises a ValueError with the text, as C++ does: without a frame of its own.
    fail_unheard(Read(map(int, [MESSAGE])))
    fail_unheard(message=MESSAGE)
    assert not caplog.records


@pytest.mark.usefixtures("new_objects_only")
def test_another_one_that_fails_is_told(seen, caplog):
    fail_unheard(Read(in_python()))
    fail_unheard(Read(map(int, ["seven"])))
    fail_unheard(message="other")
    assert [record.exc_info[0] for record in caplog.records] == [ValueError] * 3
