"""One writer a folder."""

import errno
import fcntl
import multiprocessing
import os
import signal

import pytest

from vae_jax.errors import ConfigError
from vae_jax.storage import lock


def test_the_second_is_told_who_holds_it(tmp_path):
    with lock.held(tmp_path / "run"):
        with pytest.raises(ConfigError) as caught, lock.held(tmp_path / "run"):
            pass
    message = str(caught.value)
    assert message.startswith(f"workdir={tmp_path / 'run'}: another program (pid ")
    assert f"pid {os.getpid()} on {os.uname().nodename}, since 20" in message
    assert "\n" not in message
    assert list((tmp_path / "run").iterdir()) == []  # nothing is left
    with lock.held(tmp_path / "run"):
        pass


def _hold(folder, ready):
    with lock.held(folder):
        ready.set()
        signal.pause()


def test_a_killed_holder_holds_nothing(tmp_path):
    context = multiprocessing.get_context("forkserver")
    ready = context.Event()
    child = context.Process(target=_hold, args=(tmp_path, ready))
    child.start()
    assert ready.wait(60)
    with pytest.raises(ConfigError, match=f"pid {child.pid} on"):
        with lock.held(tmp_path):
            pass
    child.kill()
    child.join()
    with lock.held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_its_holder_removed_is_no_lock(tmp_path, monkeypatch):
    """Whoever waits with the old file open must not believe that it has the new one."""
    original, calls = fcntl.flock, []

    def flock(file, operation):
        if not calls:
            (tmp_path / lock.NAME).unlink()  # between opening and locking
        calls.append(operation)
        return original(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock.held(tmp_path):
        assert len(calls) == 2
        with pytest.raises(ConfigError, match="another program"):
            with lock.held(tmp_path):
                pass


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with caplog.at_level("WARNING"), lock.held(tmp_path):
        pass
    assert "can't be locked (No locks available)" in caplog.text
