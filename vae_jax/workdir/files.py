"""Files that are either the old or the new version, never half of one."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

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

    Args:
        path: of the file; its folder must exist.
        content: the new bytes.

    Raises:
        StorageError: the file can't be written; the old one is as it was.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
