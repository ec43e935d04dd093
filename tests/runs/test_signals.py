"""SIGINT, SIGTERM and SIGHUP: once an exception, then silence."""

import contextlib
import gc
import os
import signal
import time

import pytest

from vae_jax.runs import signals

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


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
        f"stopped by {number.name}; run the same command to go on"
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


def test_one_that_comes_in_a_garbage_collection_is_not_lost():
    def _xla_gc_callback(*arguments):  # JAX has one of this name
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(signals.Interrupted), signals.handled():
        gc.callbacks.append(_xla_gc_callback)
        with contextlib.ExitStack() as stack:
            stack.callback(gc.callbacks.remove, _xla_gc_callback)
            gc.collect()
        time.sleep(5)
