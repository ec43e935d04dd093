"""Programs: `python -m experiments.NAME --help`."""

import importlib.util
import os
import signal
import sys
from types import FrameType


def _stop(number: int, frame: FrameType | None) -> None:
    """Ends a program that is still being imported."""
    name = signal.Signals(number).name
    os.write(2, f"stopped by {name}; run the same command to resume\n".encode())
    os._exit(128 + number)


# Only where this is a program's beginning, and no import by another one.
if sys.argv[0] == "-m" or sys.argv[0].startswith("vae-jax "):
    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(_number) != signal.SIG_IGN:
            signal.signal(_number, _stop)
    if importlib.util.find_spec("absl") is None:
        sys.exit(
            f"error: {sys.executable} has no package absl: activate the environment"
            " that `make install` makes, `. .venv/bin/activate`, or install"
            " requirements.txt"
        )
