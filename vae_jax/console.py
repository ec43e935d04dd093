"""The terminal as programs write to it: one console for progress bars and log lines.

A bar that is redrawn knows of the lines that go through its own console, and moves down
for them. A line that reached stderr by another way would land inside the bar.
"""

import functools
import io
import logging

from rich.console import Console
from rich.text import Text


@functools.cache
def stderr() -> Console:
    """The console that all bars and log lines share."""
    return Console(stderr=True, highlight=False)


class LogStream(io.TextIOBase):
    """The shared console as the stream of a `logging.StreamHandler`."""

    def write(self, text: str) -> int:
        """Prints lines as they are; the terminal wraps those that are too long."""
        stderr().print(Text(text), end="", soft_wrap=True)
        return len(text)


class PlainFormatter(logging.Formatter):
    """The time of day and the message, with a level only from warnings upwards."""

    def __init__(self) -> None:
        """Sets the form of the time."""
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """One record, without a trace."""
        if record.levelno > logging.INFO:
            record.message = f"{record.levelname.lower()}: {record.message}"
        return super().formatMessage(record)
