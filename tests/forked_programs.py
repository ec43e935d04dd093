"""The programs without their start-up: forks of a process that has imported everything.

A fork is what `python -m experiments.NAME` would be after its imports: it has flags and
a JAX backend of its own. `run_program` is that of `runs_helpers`, two seconds faster.
"""

import functools
import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import context, forkserver, process

import pytest

from tests.runs_helpers import REPOSITORY

TIMEOUT_S = 180
PRELOADED = [
    "sklearn.datasets",
    "tensorflow_datasets",
    "vae_jax.report.figures",
    "vae_jax.runs.grid",
    "vae_jax.runs.opened",
]


def run_program(name: str, *arguments: object) -> tuple[int, str, str]:
    """Runs a program to its end: exit status, stdout, stderr."""
    with tempfile.TemporaryDirectory() as folder:
        child = start_program(folder, name, *arguments)
        child.join(TIMEOUT_S)
        if child.exitcode is None:
            child.kill()
            child.join()
        out, err = (pathlib.Path(folder, file).read_text() for file in ("out", "err"))
    assert child.exitcode is not None
    return child.exitcode, out, err


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
