"""Keeps to itself what Orbax and TensorStore print when a read or a write fails.

The error is raised, too, and becomes one line; theirs are dozens.
"""

import logging as std_logging
import sys
from typing import Any

from absl import logging


def quieten() -> None:
    """From here on they print warnings only; a second call changes nothing."""
    logging.get_absl_logger().addFilter(_is_no_orbax_error)
    std_logging.getLogger("asyncio").addFilter(_is_no_other_failure)
    hook = sys.unraisablehook
    if getattr(hook, "is_quiet", False):
        return

    def quiet_hook(unraisable: Any) -> None:
        if not _is_late_read(unraisable):
            hook(unraisable)

    quiet_hook.is_quiet = True  # type: ignore[attr-defined]
    sys.unraisablehook = quiet_hook


def _is_no_orbax_error(record: std_logging.LogRecord) -> bool:
    return "orbax" not in record.pathname or record.levelno == std_logging.WARNING


def _is_no_other_failure(record: std_logging.LogRecord) -> bool:
    """Whether it is not of a second read that failed beside the one that was told.

    asyncio wraps an awaitable that is no coroutine, such as a read of TensorStore, and
    its error comes from C++: its traceback has that one frame only.
    """
    trace = record.exc_info[2] if record.exc_info else None
    return not (
        record.getMessage().startswith("Task exception was never retrieved")
        and trace is not None
        and trace.tb_next is None
        and trace.tb_frame.f_code.co_name == "_wrap_awaitable"
    )


def _is_late_read(unraisable: Any) -> bool:
    """Whether TensorStore reports to an event loop that Orbax has closed.

    Where one array can't be read, Orbax closes its loop while others are still on
    their way. Python's own code would be the outermost frame if anything else had
    called.
    """
    frames = unraisable.exc_traceback
    return (
        isinstance(unraisable.exc_value, RuntimeError)
        and str(unraisable.exc_value) == "Event loop is closed"
        and frames is not None
        and frames.tb_frame.f_code.co_name == "call_soon_threadsafe"
    )
