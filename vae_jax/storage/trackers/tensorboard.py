"""TensorBoard: event files in the folder `tensorboard` of a run."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from vae_jax.files import writing
from vae_jax.storage.trackers.base import BINS, About, Kind

FLUSH_SECONDS = 5.0


class TensorBoard:
    """Scalars, pictures, histograms, and the hparams of a comparison of runs."""

    def __init__(self, about: About) -> None:
        """Opens a new event file that hides the steps after `start_step` in older ones.

        Args:
            about: the run.

        Raises:
            StorageError: it can't be written.
        """
        folder = about.workdir / "tensorboard"
        with writing(folder):
            self._events = _open_events(folder, about.start_step)
        self._flushed = time.monotonic()
        fields = {name: _known(value) for name, value in about.fields.items()}
        # Without the first part, which would fix the columns of the table of runs:
        # TensorBoard then begins with the fields in which they differ.
        _, start, self._end = summary.hparams(fields, {})
        self._add(0, start)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._add(step, summary.scalar(name, value))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        for name, image in images.items():
            self._add(step, summary.image(name, image, dataformats="HWC"))

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        for name, array in values.items():
            self._add(step, summary.histogram(name, array, BINS))

    def flush(self) -> None:
        self._events.flush()
        self._flushed = time.monotonic()

    def finish(self, succeeded: bool) -> None:
        if succeeded:
            self._add(0, self._end)
        self._events.close()

    def _add(self, step: int, value: Any) -> None:
        event = Event(wall_time=time.time(), step=int(step), summary=value)
        self._events.write_event(event)


def _known(value: object) -> bool | int | float | str:
    """A value of a type that hparams have: a number, a bool or a text."""
    return value if isinstance(value, bool | int | float | str) else str(value)


def _open_events(folder: pathlib.Path, start_step: int) -> EventsWriter:
    folder.mkdir(exist_ok=True)
    # TensorBoard reads files by the order of their names, in which tensorboardX has
    # seconds only; two writers may begin in the same one.
    events = EventsWriter(str(folder / f"events.{time.time_ns()}"))
    first = start_step + 1 if start_step > 0 else 0
    start = SessionLog(status=SessionLog.START)
    events.write_event(Event(wall_time=time.time(), step=first, session_log=start))
    return events


KIND = Kind(TensorBoard, "tensorboardX", "experiments")
