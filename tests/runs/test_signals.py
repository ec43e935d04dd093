"""SIGINT, SIGTERM and SIGHUP: once an exception, then silence."""

import contextlib
import gc
import os
import signal
import time

import pytest

from vae_jax.runs import signals

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def _nothing_is_ignored():
    """As it would be in a suite that `nohup` has started."""
    before = {n: signal.signal(n, signal.default_int_handler) for n in signals.NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", signals.NUMBERS)
def test_the_first_raises_and_the_others_wait_for_the_end(number):
    before = {n: signal.getsignal(n) for n in signals.NUMBERS}
    cleaned_up = False
    with pytest.raises(signals.Interrupted) as caught, signals.handled():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            for other in signals.NUMBERS:  # whoever is impatient
                os.kill(os.getpid(), other)
            cleaned_up = True
    assert cleaned_up
    assert caught.value.status == STATUS[number]
    assert str(caught.value) == (
        f"stopped by {number.name}; run the same command to resume"
    )
    assert before == {n: signal.getsignal(n) for n in signals.NUMBERS}
    with signals.handled():  # and the next program starts anew
        pass


def test_deferred_ones_are_told_when_asked_and_raise_at_the_end():
    reached = False
    with pytest.raises(signals.Interrupted) as caught, signals.deferred() as asked:
        assert asked() == 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert asked() == signal.SIGTERM
        reached = True
    assert reached
    assert caught.value.status == 143


def test_an_error_within_is_told_rather_than_the_signal():
    with pytest.raises(ZeroDivisionError), signals.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        1 / 0  # noqa: B018


def test_ignored_signals_stay_ignored():
    """As `nohup` wants it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.handled():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ignoring_outlasts_the_handling():
    """Else a burst has a moment to print a second line while the program ends."""
    before = {n: signal.getsignal(n) for n in signals.NUMBERS}
    try:
        with signals.handled():
            signals.ignore()
        for number in signals.NUMBERS:
            assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)


def _collecting(phase, _):  # JAX has a callback of this kind
    if phase == "start":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)


@pytest.mark.parametrize("callback", [_collecting, None])
def test_one_that_comes_where_python_drops_exceptions_is_not_lost(callback):
    """In a callback of the garbage collection, and in a finaliser."""
    with pytest.raises(signals.Interrupted), signals.handled():
        if callback is None:
            del [_Closing()][0]
        else:
            gc.callbacks.append(callback)
            with contextlib.ExitStack() as stack:
                stack.callback(gc.callbacks.remove, callback)
                gc.collect()
        time.sleep(5)
