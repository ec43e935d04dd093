"""The programs without their start-up: a process that has imported everything forks.

A child is what `python -m experiments.NAME` would be after its imports: it has flags
and a JAX backend of its own, and ends by itself. `run_program` is that of
`runs_helpers`, two seconds faster.
"""

import atexit
import functools
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from typing import NoReturn

from tests.runs_helpers import REPOSITORY

TIMEOUT_S = 120


def run_program(name: str, *arguments: object) -> tuple[int, str, str]:
    """Runs a program to its end: exit status, stdout, stderr."""
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        request = {"name": name, "arguments": [*map(str, arguments)], "folder": folder}
        print(json.dumps(request), file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        out, err = (pathlib.Path(folder, f).read_text() for f in ("out", "err"))
    return status, out, err


@functools.cache
def _server() -> subprocess.Popen:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.forked_programs"],
        cwd=REPOSITORY,
        # A thread of OpenBLAS would not survive the fork.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    return server


def _serve() -> None:
    """Forks for each line of stdin and answers with the child's exit status."""
    import sklearn.datasets  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    import vae_jax.figures
    import vae_jax.runs.grid
    import vae_jax.runs.opened  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(**request)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(name: str, arguments: list[str], folder: str) -> NoReturn:
    """Turns this process into a program."""
    signal.alarm(TIMEOUT_S)
    for number, path in enumerate([os.devnull, f"{folder}/out", f"{folder}/err"]):
        mode = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        os.dup2(os.open(path, mode), number)
    sys.argv = [name, *arguments]
    status = 0
    try:
        runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        # To take down an interpreter with JAX in it lasts longer than most cases.
        os._exit(status)


if __name__ == "__main__":
    _serve()
