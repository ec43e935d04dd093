"""One writer a folder: the lock that a training holds on its workdir."""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import IO

from absl import logging

from vae_jax.errors import ConfigError
from vae_jax.storage.atomic import is_at, writing

NAME = ".lock"


@contextlib.contextmanager
def held(folder: pathlib.Path) -> Iterator[None]:
    """Keeps every other program that asks for the lock out of a folder.

    The lock is `flock` on the file .lock, so the system releases it however the program
    ends. The file says who holds it and is removed at the end. A disk without locks,
    as some shared ones are, gives a warning instead.

    Args:
        folder: the workdir; made if it is missing.

    Raises:
        ConfigError: another program holds it; names its process, host and start.
        StorageError: the folder can't be written.
    """
    path = folder / NAME
    with contextlib.ExitStack() as stack:
        with writing(f"workdir={folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(path, "a+", encoding="utf-8"))
            while _lock(file, folder) and not is_at(file, path):
                # Its holder removed the file between our two calls.
                file = stack.enter_context(open(path, "a+", encoding="utf-8"))
            file.truncate(0)
            json.dump(_own_record(), file)
            file.flush()
        stack.callback(path.unlink, missing_ok=True)
        yield


def _lock(file: IO[str], folder: pathlib.Path) -> bool:
    """Whether the file is locked now; False, with a warning, on a disk without locks.

    Raises:
        ConfigError: another program holds the lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"workdir={folder}: another program{_holder(file)} trains here; wait for"
            " it, or choose another workdir"
        ) from None
    except OSError as error:
        logging.warning(
            "%s can't be locked (%s): start no second training in it",
            folder,
            error.strerror,
        )
        return False
    return True


def _own_record() -> dict[str, str | int]:
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(file: IO[str]) -> str:
    """What the holder wrote of itself; empty if it has not come to that yet."""
    try:
        file.seek(0)
        record = json.load(file)
        return f" (pid {record['pid']} on {record['host']}, since {record['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
