"""One process at a time in a folder."""

import contextlib
import logging
import pathlib
from collections.abc import Iterator

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def only_one(path: pathlib.Path) -> Iterator[None]:
    """Waits until no other process is in a block with the same path.

    The lock is the operating system's (`flock`): it ends with the process, however
    that ends, and the empty file that stays behind locks nobody out. Where the file
    system or the operating system has none, a warning says so and the block is entered.

    Args:
        path: of the file to lock; it and its folder are made.

    Raises:
        OSError: the file can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.warning("another process is at work in %s: waiting", path.parent)
                fcntl.flock(file, fcntl.LOCK_EX)
        except (ImportError, OSError) as error:
            _log.warning("%s: no lock (%s); run one program at a time", path, error)
        yield
