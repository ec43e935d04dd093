"""One process at a time in a folder."""

import contextlib
import logging
import pathlib
from collections.abc import Iterator

from vae_jax.files import locked

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def only_one(path: pathlib.Path) -> Iterator[None]:
    """Waits until no other process is in a block with the same path.

    The empty file that stays behind has no effect, see `files.locked`. Where there
    are no locks, a warning says so and the block is entered.

    Args:
        path: file to lock; it and its folder are made.

    Raises:
        OSError: the file can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)

    def busy(_: object) -> None:
        _log.warning("another process is working in %s: waiting for it", path.parent)

    def without_locks(error: Exception) -> None:
        _log.warning("%s: no lock (%s); run one program at a time", path, error)

    with locked(path, busy=busy, without_locks=without_locks):
        yield
