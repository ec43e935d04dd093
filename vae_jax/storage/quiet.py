"""Silences what Orbax and TensorStore print when a read or a write fails.

The error is also raised and becomes one line, where they print dozens.
"""

import logging as std_logging
import re
import sys
import traceback

from absl import logging

_NEVER_RETRIEVED = (
    "Task exception was never retrieved",
    "Future exception was never retrieved",
)


def quieten() -> None:
    """From here on they print warnings only; a second call changes nothing."""
    logging.get_absl_logger().addFilter(_is_no_orbax_error)
    std_logging.getLogger("asyncio").addFilter(_is_no_other_failure)
    hook = sys.unraisablehook
    if getattr(hook, "is_quiet", False):
        return

    def quiet_hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not _is_late_read(unraisable):
            hook(unraisable)

    quiet_hook.is_quiet = True  # type: ignore[attr-defined]
    sys.unraisablehook = quiet_hook


def _is_no_orbax_error(record: std_logging.LogRecord) -> bool:
    return "orbax" not in record.pathname or record.levelno == std_logging.WARNING


def _is_no_other_failure(record: std_logging.LogRecord) -> bool:
    """Whether it is not a second failed read beside the one already reported.

    The errors of TensorStore come from C++: in their traceback is no frame, or only
    that in which asyncio waited for it.
    """
    if not record.exc_info or not record.getMessage().startswith(_NEVER_RETRIEVED):
        return True
    _, error, trace = record.exc_info
    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(trace)]
    of_tensorstore = re.search("Error (reading|opening|writing) ", str(error))
    return not of_tensorstore or names not in ([], ["_wrap_awaitable"])


def _is_late_read(unraisable: "sys.UnraisableHookArgs") -> bool:
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
