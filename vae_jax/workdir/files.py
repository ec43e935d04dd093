"""Files that are either the old or the new version, never half of one."""

import os
import pathlib

PathLike = str | os.PathLike[str]


def replace_file(path: PathLike, content: bytes) -> None:
    """Writes a whole file: beside it first, then over it in one atomic step.

    Args:
        path: of the file; its folder must exist.
        content: the new bytes.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
