"""Files that are either the old or the new version."""

import threading

import pytest

from vae_jax.errors import StorageError
from vae_jax.storage.atomic import replace_file


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
