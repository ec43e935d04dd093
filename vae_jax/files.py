"""Files that are written whole, and files that one program has to itself."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
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
    """Writes a whole file, see `replacing`.

    Args:
        path: file to write; its folder must exist.
        content: the new bytes.

    Raises:
        StorageError: the file can't be written; the old one is as it was.
    """
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """Gives an empty file that takes the place of `path`, in one step, at the end.

    At any time `path` is the whole old file or the whole new one. The next call reuses
    what a killed program left. Several programs may write the same file;
    each waits for the other.

    Args:
        path: file to write; its folder must exist.

    Raises:
        StorageError: the file can't be written; the old one is as it was.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path), locked(temporary) as file:
        try:
            file.truncate(0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _pass(_: object) -> None:
    """The default response to another holder, or to a disk without locks."""


@contextlib.contextmanager
def locked(
    path: pathlib.Path,
    *,
    busy: Callable[[IO[bytes]], None] = _pass,
    without_locks: Callable[[Exception], None] = _pass,
) -> Iterator[IO[bytes]]:
    """Opens a file and keeps out every other program that calls this for it.

    The lock is the operating system's (`flock`): it ends with the program, however that
    ends. The holder may rename or remove the file, which then has no effect on others.

    Args:
        path: file to lock, made if it is missing; its folder must exist.
        busy: called with the open file where another program holds the lock. It may
            raise; otherwise this waits for the other program.
        without_locks: called with what went wrong where the disk or the operating
            system has no such locks. It may raise; otherwise there is no lock.

    Yields:
        The file, open for reading and writing at its beginning.

    Raises:
        OSError: the file can't be made.
    """
    with contextlib.ExitStack() as stack:
        while True:
            # Not "a": what is written there always goes to the end, also after a seek.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            file = stack.enter_context(os.fdopen(descriptor, "r+b"))
            try:
                _lock(file, busy)
            except (ImportError, OSError) as error:
                without_locks(error)
                break
            if _is_at(file, path):
                break
            stack.pop_all().close()  # its holder renamed or removed it meanwhile
        yield file


def _lock(file: IO[bytes], busy: Callable[[IO[bytes]], None]) -> None:
    import fcntl  # not on Windows

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        busy(file)
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_at(file: IO[bytes], path: pathlib.Path) -> bool:
    """Whether the open file is still the one that the path names."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def allow_open(count: int) -> None:
    """Lets this process hold so many files open, as far as the system allows it.

    Each member of a grid keeps its files open while all are trained, and systems begin
    with as few as 256 for a process.

    Args:
        count: how many.
    """
    try:
        import resource  # not on Windows, which has no such limit
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    without_end = resource.RLIM_INFINITY
    wanted = count if hard == without_end else min(count, hard)
    if soft != without_end and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_writable(folder: pathlib.Path) -> None:
    """Makes a file in a folder, and removes it, before work that ends in one there.

    Raises:
        OSError: it can't be made.
    """
    with tempfile.TemporaryFile(dir=folder):
        pass
