"""Weights & Biases: a run in the folder `wandb`, without a network unless asked for."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from vae_jax.storage.trackers.base import PROJECT, About, Kind


class Wandb:
    """A run of Weights & Biases.

    It is offline, and `wandb sync` uploads it later, unless `WANDB_MODE` says
    otherwise. The x axis is the training step, `step`: steps that a resumed run repeats
    have the same numbers, so that the curves don't change where they are drawn twice.
    """

    def __init__(self, about: About) -> None:
        """Starts the run, or goes on with the one of the same id.

        Args:
            about: the run. All members of a grid lie in the folder of the grid.
        """
        import wandb  # an extra; slow to import

        self._wandb = wandb
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            mode=mode,
            id=about.run_id,
            name=about.name,
            group=about.group,
            dir=str(about.shared),
            # Here, where it is part of the first record, and not by an update, which
            # is held back, and then lost if the run ends soon.
            config=dict(about.fields),
            allow_val_change=True,  # a run that is trained further has more steps
            resume="allow",
            reinit="create_new",  # members of a grid are open at the same time
            # It would otherwise print, and record what is printed, amid a progress bar.
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        pictures = {name: self._wandb.Image(image) for name, image in images.items()}
        self._run.log({"step": step, **pictures})

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        found = {name: self._wandb.Histogram(array) for name, array in values.items()}
        self._run.log({"step": step, **found})

    def flush(self) -> None:
        """Nothing: a process of its own writes what it is given at once."""

    def finish(self, succeeded: bool) -> None:
        self._run.finish(exit_code=0 if succeeded else 1)


KIND = Kind(Wandb, "wandb", "wandb")
