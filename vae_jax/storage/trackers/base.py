"""What a tracker is: a program that people watch runs with, behind five methods.

`metrics.jsonl` is the record of a run and no tracker: it is always written, and it is
what this library reads back.
"""

import dataclasses
import functools
import pathlib
import uuid
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from vae_jax.errors import DataError
from vae_jax.storage.records import read_json, write_json

PROJECT = "vae_jax"  # where the tracker's own environment variable names none
BINS = 30  # of a histogram


@dataclasses.dataclass(frozen=True)
class About:
    """What a tracker is told of a run when it starts."""

    workdir: pathlib.Path  # folder of the run
    name: str  # how the run is called among others
    group: str | None = None  # name of the grid that it is a member of
    root: pathlib.Path | None = None  # folder of that grid; None: the workdir
    start_step: int = 0  # of training; above 0, the run goes on
    fields: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """Of its config, flat: the hyperparameters that trackers list."""

    @property
    def shared(self) -> pathlib.Path:
        """The folder that all members of a grid share; of a single run its own."""
        return self.workdir if self.root is None else self.root

    @functools.cached_property
    def run_id(self) -> str:
        """What tells the run from all others, also after a resume; 16 letters.

        It lies in `tracking.json` of the workdir. A training that begins anew gets
        another one, so that nothing of an abandoned one is mixed with it.

        Raises:
            DataError: that file is damaged.
            StorageError: it can't be written.
        """
        path = self.workdir / "tracking.json"
        if self.start_step > 0 and path.is_file():
            found = read_json(path).get("run_id")
            if not isinstance(found, str):
                raise DataError(f"{path} holds no run_id; delete it")
            return found
        run_id = uuid.uuid4().hex[:16]
        write_json(path, {"run_id": run_id})
        return run_id


class Tracker(Protocol):
    """One run in one tracker. Any method may raise; `several.Trackers` copes."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a training step, by name ("train/elbo")."""

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Pictures of a training step, by name; uint8 [H, W, 3]."""

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Values whose distribution is shown, by name; finite, [N] with N >= 1."""

    def flush(self) -> None:
        """Writes what is held back."""

    def finish(self, succeeded: bool) -> None:
        """Ends it; a run that did not succeed may be resumed."""


class Kind(NamedTuple):
    """A line of the table of trackers."""

    start: Callable[[About], Tracker]
    package: str  # that has to be importable
    extra: str  # of this package, which installs it
