"""A file operation that fails or ends the program: the Nth below a folder.

`faults.c` is compiled once and loaded before the C library into every forked program;
it counts in a small file that both processes map.
"""

import ctypes
import dataclasses
import enum
import functools
import pathlib
import shutil
import struct
import subprocess
from collections.abc import Callable

SIZE = 512
CRASHED = 86  # the exit status of a crash
_HEADER = struct.Struct("ll")


class Mode(enum.IntEnum):
    """What happens at the Nth operation; the numbers of faults.c."""

    COUNT = 0  # nothing
    CRASH = 1  # the process ends there, after half of a write
    FULL = 2  # it and all later ones fail, but for those that remove something
    ONCE = 3  # it fails


@dataclasses.dataclass(frozen=True)
class Record:
    """What the program's operations were."""

    count: int
    fired: bool
    what: str  # "rename /checkpoints/20"


def compile_library(folder: pathlib.Path) -> pathlib.Path | None:
    """The library to load first, or None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "faults.so"
    source = pathlib.Path(__file__).with_name("faults.c")
    flags = ["-shared", "-fPIC", "-O1", "-o"]
    subprocess.run([compiler, *flags, library, source, "-ldl"], check=True)
    return library


def arming(
    folder: pathlib.Path,
    counter: pathlib.Path,
    nth: int = 0,
    mode: Mode = Mode.COUNT,
    error: int = 0,
) -> Callable[[], None]:
    """A function for a forked program to call first.

    Args:
        folder: operations below it count.
        counter: a file for the record, outside of it.
        nth: the operation, from 1.
        mode: what happens there.
        error: number of the error, such as errno.ENOSPC.
    """
    counter.write_bytes(bytes(SIZE))
    return functools.partial(
        _arm, bytes(folder), bytes(counter), nth, int(mode), int(error)
    )


def read_record(counter: pathlib.Path) -> Record:
    """What the library has counted so far."""
    content = counter.read_bytes()
    count, fired = _HEADER.unpack_from(content)
    text = content[_HEADER.size :].split(b"\0")[0]
    return Record(count, bool(fired), text.decode(errors="replace"))


def _arm(folder: bytes, counter: bytes, nth: int, mode: int, error: int) -> None:
    arm = ctypes.CDLL(None).fault_arm
    text, number = ctypes.c_char_p, ctypes.c_int
    arm.argtypes = [text, text, ctypes.c_long, number, number]
    if arm(folder, counter, nth, mode, error):
        raise OSError(f"the faults could not be armed with {counter!r}")
