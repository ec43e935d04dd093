"""Files that are either the old or the new version, never half of one."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator
from typing import IO

from vae_jax.errors import StorageError
from vae_jax.paths import PathLike


@contextlib.contextmanager
def writing(what: object) -> Iterator[None]:
    """Turns a failure to write within it into a `StorageError`.

    Args:
        what: the file, or the flag with its value, that the message begins with.
    """
    try:
        yield
    except StorageError:
        raise  # it names the file already
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        where = "" if where and where[:-2] in str(what) else where
        raise StorageError(
            f"{what} can't be written: {where}{error.strerror or error}"
        ) from error


def replace_file(path: PathLike, content: bytes) -> None:
    """Writes a whole file: beside it first, then over it in one atomic step.

    What a killed program left beside it is used up by the next call. Several programs
    may write the same file; each waits for the other.

    Args:
        path: of the file; its folder must exist.
        content: the new bytes.

    Raises:
        StorageError: the file can't be written; the old one is as it was.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path), _opened_alone(temporary) as file:
        try:
            file.truncate(0)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def is_at(file: IO, path: pathlib.Path) -> bool:
    """Whether the open file is still the one that the path names."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _opened_alone(path: pathlib.Path) -> IO[bytes]:
    """Opens a file that no other program is writing by now."""
    while True:
        file = open(path, "ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a disk without locks
            return file
        if is_at(file, path):
            return file
        file.close()  # the other one has renamed it
