"""The programs without their start-up: forks of a process that has imported everything.

A fork is what `python -m experiments.NAME` would be after its imports, which take
longer than most of what tests ask for: it has flags and a JAX backend of its own. That
both come to the same is asserted by `tests/torture/world.py`.
"""

import functools
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import context, forkserver, process

import jax
import pytest

from tests.runs_helpers import REPOSITORY

TIMEOUT_S = 300
PRELOADED = [
    "sklearn.datasets",
    "tensorflow_datasets",
    "vae_jax.report.figures",
    "vae_jax.runs.grid",
    "vae_jax.runs.opened",
]


def run_program(
    name: str, *arguments: object, **environment: str
) -> tuple[int, str, str]:
    """Runs a program to its end: exit status, stdout, stderr."""
    program = Program(name, *arguments, **environment)
    try:
        out, err = program.communicate()
    finally:
        program.kill()
    assert program.returncode is not None
    return program.returncode, out, err


class Program:
    """A program that runs; what it has of `subprocess.Popen` means the same.

    Args:
        name: of the program.
        arguments: its flags.
        environment: what is added to the variables of this process.
    """

    def __init__(self, name: str, *arguments: object, **environment: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        set_up = functools.partial(_set, environment)
        for file in ("out", "err"):  # a killed one may never come to it
            pathlib.Path(self._folder.name, file).touch()
        self._child = start_program(self._folder.name, name, *arguments, prepare=set_up)
        self.terminate, self.kill = self._child.terminate, self._child.kill

    @property
    def returncode(self) -> int | None:
        return self._child.exitcode

    def poll(self) -> int | None:
        return self._child.exitcode

    def communicate(self, timeout: float = TIMEOUT_S) -> tuple[str, str]:
        """Waits for its end, then gives stdout and stderr."""
        self._child.join(timeout)
        if self._child.exitcode is None:
            raise subprocess.TimeoutExpired(self._child.name, timeout)
        folder = pathlib.Path(self._folder.name)
        return (folder / "out").read_text(), (folder / "err").read_text()


def _set(environment: Mapping[str, str]) -> None:
    """Sets what a new process finds there; JAX has read one variable already."""
    os.environ.update(environment)
    if platforms := environment.get("JAX_PLATFORMS"):
        jax.config.update("jax_platforms", platforms)


def start_program(
    folder: str | os.PathLike[str],
    name: str,
    *arguments: object,
    prepare: Callable[[], object] | None = None,
) -> process.BaseProcess:
    """Starts a program whose stdout and stderr go to `out` and `err` in a folder.

    `prepare`, a function of a module, is called in it before it begins.
    """
    child = forking().Process(
        target=_become, args=(name, [*map(str, arguments)], str(folder), prepare)
    )
    child.start()
    return child


@functools.cache
def forking() -> context.ForkServerContext:
    """Starts the process that forks."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        # A thread of OpenBLAS would not survive the fork.
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        patch.chdir(REPOSITORY)
        forkserver.ensure_running()
    return forking


def _become(
    name: str,
    arguments: list[str],
    folder: str,
    prepare: Callable[[], object] | None,
) -> None:
    """Turns this process into a program; multiprocessing sees to its end."""
    for number, file in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}/{file}", os.O_WRONLY | os.O_CREAT), number)
    os.chdir(REPOSITORY)
    if prepare is not None:
        prepare()
    sys.argv = [name, *arguments]
    runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
