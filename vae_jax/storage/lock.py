"""One writer a folder: the lock that a training holds on its workdir."""

import contextlib
import datetime
import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import IO

from absl import logging

from vae_jax.errors import ConfigError
from vae_jax.files import locked, writing

NAME = ".lock"


@contextlib.contextmanager
def held(folder: pathlib.Path) -> Iterator[None]:
    """Keeps other programs that take the lock out of a folder.

    The lock is `files.locked` on the file .lock, which says who holds it and is removed
    at the end. A disk without locks, as some shared ones are, gives a warning instead.

    Args:
        folder: the workdir; made if it is missing.

    Raises:
        ConfigError: another program holds it; names its process, host and start.
        StorageError: the folder can't be written.
    """

    def refuse(file: IO[bytes]) -> None:
        raise ConfigError(
            f"workdir={folder}: another program{_holder(file)} trains here; wait for"
            " it, or choose another workdir"
        )

    def warn(error: Exception) -> None:
        reason = getattr(error, "strerror", None) or error
        logging.warning(
            "%s can't be locked (%s): do not start a second training in it",
            folder,
            reason,
        )

    path = folder / NAME
    with contextlib.ExitStack() as stack:
        with writing(f"workdir={folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(locked(path, busy=refuse, without_locks=warn))
            file.truncate(0)
            file.write(json.dumps(_own_record()).encode())
            file.flush()
        stack.callback(path.unlink, missing_ok=True)
        yield


def _own_record() -> dict[str, str | int]:
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(file: IO[bytes]) -> str:
    """What the holder wrote about itself; empty if it has not written yet."""
    try:
        file.seek(0)
        record = json.load(file)
        return f" (pid {record['pid']} on {record['host']}, since {record['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def is_held(folder: pathlib.Path) -> bool:
    """Whether a program trains in a folder, told from what it wrote about itself.

    The lock itself is not tried, since that would keep others out for a moment. Of a
    program on another host only its file is known, which outlives a machine that fails.

    Args:
        folder: a workdir.
    """
    try:
        record = json.loads((folder / NAME).read_bytes())
        if record["host"] == socket.gethostname():
            os.kill(record["pid"], 0)  # sends nothing
    except PermissionError:  # a process of another user
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True
