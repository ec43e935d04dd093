"""Several trackers of a run as one, which never ends a training."""

from collections.abc import Callable, Mapping

import numpy as np
from absl import logging

from vae_jax.errors import StorageError, VAEJaxError, one_line
from vae_jax.storage.trackers.base import About, Kind, Tracker


class Trackers:
    """The trackers of one run.

    Before anything is trained, a tracker that can't start is an error. One that fails
    later is left out for the rest of the training, with one warning in the log: what it
    shows stands in `metrics.jsonl` and `results.json`, too.
    """

    def __init__(self, kinds: Mapping[str, Kind], about: About) -> None:
        """Starts them.

        Args:
            kinds: which ones, by name.
            about: the run.

        Raises:
            StorageError: one of them can't start.
            DataError: `tracking.json` is damaged.
        """
        self._about = about
        self._live: dict[str, Tracker] = {}
        for name, kind in kinds.items():
            try:
                self._live[name] = kind.start(about)
            except VAEJaxError:
                self.finish(succeeded=False)
                raise
            except Exception as error:
                self.finish(succeeded=False)
                raise StorageError(
                    f"train.trackers: {name} can't start a run for {about.workdir}"
                    f" ({_text(error)}); mend that, or train without it, which the same"
                    f" command does with --config.train.trackers="
                    f"{','.join(other for other in kinds if other != name)}"
                ) from error

    def __bool__(self) -> bool:
        """Whether any is left."""
        return bool(self._live)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a training step, by name."""
        self._each(lambda tracker: tracker.scalars(step, values))

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Pictures of a training step, by name; uint8 [H, W, 3]."""
        self._each(lambda tracker: tracker.images(step, images))

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Values whose distribution is shown, by name, [N]; those not finite don't."""
        finite = {name: array[np.isfinite(array)] for name, array in values.items()}
        shown = {name: array for name, array in finite.items() if array.size}
        self._each(lambda tracker: tracker.histograms(step, shown))

    def flush(self) -> None:
        """Writes what is held back."""
        self._each(lambda tracker: tracker.flush())

    def finish(self, succeeded: bool) -> None:
        """Ends them; a second call does nothing."""
        self._each(lambda tracker: tracker.finish(succeeded))
        self._live = {}

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._live.items()):
            try:
                call(tracker)
            except Exception as error:
                del self._live[name]
                logging.warning(
                    "%s: the tracker %s failed and is left out from here on (%s);"
                    " training goes on, and metrics.jsonl has its numbers",
                    self._about.workdir,
                    name,
                    _text(error),
                )


def _text(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}".strip(": "))
