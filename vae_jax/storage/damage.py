"""Checkpoints that cannot be used: for what reason, and where they are moved."""

import itertools
import pathlib
import re


class UnusableError(Exception):
    """One step can't be read, or is not one of this run.

    The message ends a sentence about it: "is damaged (...)", "was saved as step 3".
    """


def reason_of(error: BaseException) -> str:
    """Start and end of the first line of an error that may have hundreds of lines."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = re.sub(r" \[\w+=.*", "", lines[0])  # TensorStore appends its specification
    return line if len(line) <= 160 else f"{line[:80]} ... {line[-80:]}"


def move_aside(source: pathlib.Path, folder: pathlib.Path) -> str:
    """Moves a directory into `folder` under a free name; says what was done."""
    names = (source.name if n == 0 else f"{source.name}-{n}" for n in itertools.count())
    target = next(folder / name for name in names if not (folder / name).exists())
    try:
        folder.mkdir(exist_ok=True)
        source.rename(target)
    except OSError as error:  # a read-only disk must not stop an evaluation
        return f"it could not be moved away ({error.strerror})"
    return f"it was moved to {target}"
