"""What all programs share, around their `main`: how they end, and where they look."""

import subprocess
import sys
import textwrap
import time

import pytest

from tests.forked_programs import run_program
from tests.runs_helpers import REPOSITORY, flags
from vae_jax.errors import ConfigError, StorageError
from vae_jax.files import writing
from vae_jax.paths import local_path

TRAIN = ["--config=configs/digits.py", *flags(**{"train.eval_every": 0})]


def test_paths_are_of_this_machine(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(local_path("~/runs/a")) == "/somewhere/runs/a"
    assert str(local_path("runs/~a")) == "runs/~a"
    with pytest.raises(ConfigError, match="gs://bucket/run: only folders of"):
        local_path("gs://bucket/run")
    with pytest.raises(ConfigError, match=r"~nobody-of-that-name/x: .* without ~"):
        local_path("~nobody-of-that-name/x")


def test_what_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(StorageError) as caught, writing("--out=a/b"):
        raise OSError(28, "No space left on device")
    assert str(caught.value) == "--out=a/b can't be written: No space left on device"
    with pytest.raises(StorageError, match=f"--out=a/b can't be written: {tmp_path}: "):
        with writing("--out=a/b"), open(tmp_path):  # a folder
            pass
    with pytest.raises(StorageError, match="^inner can't be written: full$"):
        with writing("outer"), writing("inner"):
            raise OSError("full")


def test_addresses_are_refused_by_the_flags():
    arguments = ["--workdir=x", "--out=s3://bucket/x.png"]
    status, out, err = run_program("sample", *arguments)
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ") and "s3://bucket/x.png: only folders of" in err


def test_without_a_home_the_compiled_programs_are_not_kept(tmp_path):
    """An unknown user id without HOME, as in a container."""
    code = """
    import os, pwd, sys
    os.environ.pop("HOME", None)
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    def unknown(uid):
        raise KeyError(uid)
    pwd.getpwuid = unknown
    sys.argv = ["-m", *sys.argv[1:]]
    import runpy
    runpy.run_module("experiments.train", run_name="__main__", alter_sys=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *TRAIN, f"--workdir={tmp_path}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "compiled programs are not cached: " in done.stderr
    assert (tmp_path / "results.json").is_file()


def test_a_device_that_is_not_there(tmp_path):
    for platform in ("cuda", "tpu"):
        status, out, err = run_program(
            "train", *TRAIN, f"--workdir={tmp_path / 'run'}", JAX_PLATFORMS=platform
        )
        assert (status, out) == (1, "")
        assert err.splitlines()[-1] == (
            f"error: JAX_PLATFORMS={platform}: JAX finds no such device; unset it to"
            " use what there is"
        )
        assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_a_line_says_what_to_activate():
    """`python -m experiments.train` by a Python that has none of them."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "experiments.train", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin"},
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert ". .venv/bin/activate" in done.stderr


def test_threads_of_a_save_that_failed_hold_nothing_up(tmp_path):
    """Orbax waits in one for five minutes when its folder can't be made."""
    code = """
    import pathlib, sys
    original = pathlib.Path.mkdir
    import os
    makedirs, mkdir = os.makedirs, os.mkdir
    def refuse(function):
        def made(path, *arguments, **options):
            if "orbax-checkpoint-tmp" in str(path):
                raise OSError(28, "No space left on device", str(path))
            return function(path, *arguments, **options)
        return made
    os.makedirs, os.mkdir = refuse(makedirs), refuse(mkdir)
    sys.argv = ["-m", *sys.argv[1:]]
    import runpy
    runpy.run_module("experiments.train", run_name="__main__", alter_sys=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *TRAIN, f"--workdir={tmp_path}"],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("error: "):
            break
    began = time.monotonic()
    rest = process.communicate(timeout=30)[1]
    assert time.monotonic() - began < 15  # 3 s, and what a busy machine adds
    assert process.returncode == 1
    assert "cannot write a checkpoint" in said[-1] and "No space left" in said[-1]
    assert rest == ""
    assert "Traceback" not in "".join(said)
