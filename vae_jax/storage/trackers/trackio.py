"""Trackio: a run in its data base on this machine, in TRACKIO_DIR or its cache."""

import contextlib
import contextvars
import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from vae_jax.storage.trackers.base import PROJECT, About, Kind


class Trackio:
    """A run of Trackio, which `trackio show` displays.

    It finds runs by their names, so that a part of the run's id is in the name.
    """

    def __init__(self, about: About) -> None:
        """Starts the run, or goes on with the one of the same id.

        Args:
            about: the run.
        """
        import trackio  # an extra; slow to import

        self._trackio = trackio
        # In a context of its own, as `init` ends the run of the context that it is
        # called in, and members of a grid are open at the same time.
        context = contextvars.copy_context()
        with _silent():
            self._run = context.run(_start, trackio, about)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        pictures = {name: self._trackio.Image(image) for name, image in images.items()}
        self._run.log(pictures, step=step)

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        found = {name: self._trackio.Histogram(array) for name, array in values.items()}
        self._run.log(found, step=step)

    def flush(self) -> None:
        """Nothing: a thread of its own writes twice a second."""

    def finish(self, succeeded: bool) -> None:
        with _silent():
            self._run.finish()


def _start(trackio: Any, about: About) -> Any:
    return trackio.init(
        project=os.environ.get("TRACKIO_PROJECT", PROJECT),
        name=f"{about.name} ({about.run_id[:8]})",
        group=about.group,
        config=dict(about.fields),
        resume="allow",
        embed=False,
    )


def _silent() -> contextlib.AbstractContextManager[object]:
    """Without what Trackio prints, which would break a progress bar."""
    return contextlib.redirect_stdout(io.StringIO())


KIND = Kind(Trackio, "trackio", "trackio")
