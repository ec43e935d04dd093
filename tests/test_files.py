"""Files that are either the old or the new version."""

import sys
import threading

import numpy as np
import pytest

from vae_jax.errors import StorageError
from vae_jax.files import allow_open, locked, replace_file, replacing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_writer_left_is_used_up(tmp_path):
    replace_file(tmp_path / "a.json", b"old")
    (tmp_path / ".a.json.tmp").write_bytes(b"half of a longer on")
    replace_file(tmp_path / "a.json", b"new")
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"new"


def test_several_writers_wait_for_each_other(tmp_path):
    contents = {bytes([65 + n]) * (50_000 + n) for n in range(4)}
    replace_file(tmp_path / "a", next(iter(contents)))
    threads = [
        threading.Thread(
            target=lambda own: [replace_file(tmp_path / "a", own) for _ in range(20)],
            args=(content,),
        )
        for content in contents
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert (tmp_path / "a").read_bytes() in contents
    assert names(tmp_path) == ["a"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    replace_file(tmp_path / "a", b"old")
    with pytest.raises(TypeError):
        replace_file(tmp_path / "a", "not bytes")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
    with pytest.raises(StorageError, match="missing/a can't be written"):
        replace_file(tmp_path / "missing" / "a", b"new")


def test_an_archive_may_be_written_in_place(tmp_path):
    """A zip goes back to fill in its sizes, which a file opened to append forbids."""
    with replacing(tmp_path / "a.npz") as file:
        np.savez(file, a=np.arange(5), b=np.ones(3))
    with np.load(tmp_path / "a.npz") as archive:
        np.testing.assert_array_equal(archive["a"], np.arange(5))
        np.testing.assert_array_equal(archive["b"], np.ones(3))
    assert names(tmp_path) == ["a.npz"]


def test_a_system_without_flock_is_told_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    told = []
    with locked(tmp_path / "a", without_locks=told.append) as file:
        file.write(b"content")
    assert isinstance(told[0], ImportError)
    assert (tmp_path / "a").read_bytes() == b"content"


def test_more_files_may_be_open_than_a_system_begins_with():
    resource = pytest.importorskip("resource", reason="a system without such a limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        allow_open(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (200, hard)
        allow_open(250)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (250, hard)
        allow_open(10**12)  # more than there may be
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 250
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
