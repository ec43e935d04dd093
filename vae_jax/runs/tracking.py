"""The trackers of the members of a program: what they are told, and when."""

import functools
import pathlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.errors import one_line
from vae_jax.evaluation.likelihood import Statistics
from vae_jax.fields import Fields
from vae_jax.flat import flatten
from vae_jax.parts import TABLES, names_of
from vae_jax.quantities import Results
from vae_jax.runs import identity, members, processes, shards
from vae_jax.runs.pictures import EvaluationPictures
from vae_jax.runs.program import Program
from vae_jax.storage import trackers
from vae_jax.storage.trackers.base import About
from vae_jax.storage.trackers.several import Trackers
from vae_jax.trained import Trained
from vae_jax.types import stream

MOST_PICTURED = 64  # members; two pictures of digits at each evaluation take 4 to 20 kB


class Tracking:
    """The trackers of M members, from their start to their results; a context manager.

    It opens nothing before `start`, and with several processes only in the first one.
    On leaving it, members without results count as failed.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._members: list[Trackers] = []
        self._draws = True

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(self, *exception: object) -> None:
        for member in self._members:
            member.finish(succeeded=False)

    def start(self, step: int) -> None:
        """Starts the trackers that `config.train.trackers` names.

        Args:
            step: number of updates already made; above 0, each goes on with its run.

        Raises:
            StorageError: one can't start; nothing is trained yet.
        """
        program, asked = self._program, self._program.config.train.trackers
        kinds = trackers.selected(asked)
        if not kinds or not processes.is_first():
            return
        for folder, config in zip(program.folders, program.configs, strict=True):
            self._members.append(Trackers(kinds, about(config, folder, step)))
        why_not = program.dataset.spec.why_no_pictures
        if len(self._members) > MOST_PICTURED:
            why_not = f"there are more than {MOST_PICTURED} members"
        if why_not:
            self._draws = False
            logging.info("no pictures during training: %s", why_not)

    def scalars(self, step: int, m: int, values: Mapping[str, float]) -> None:
        """Numbers of one member, by name."""
        if self._members:
            self._members[m].scalars(step, values)

    def evaluation(
        self, step: int, m: int, trained: Trained, statistics: Statistics
    ) -> None:
        """Pictures of one member, and how its numbers differ between images.

        Args:
            step: number of updates made.
            m: which member.
            trained: its model with its parameters.
            statistics: what `evaluate_examples` gives of the validation split.
        """
        if not self._members or not self._members[m]:
            return
        self._members[m].histograms(step, _spreads(statistics))
        try:
            if self._draws:
                self._members[m].images(step, self._pictures(trained))
        except Exception as error:  # what people look at must not end a training
            self._draws = False
            text = one_line(f"{type(error).__name__}: {error}")
            logging.warning("no pictures during training: %s", text)

    @functools.cached_property
    def _pictures(self) -> EvaluationPictures:
        program = self._program
        key = stream(build.data_key(program.config), "pictures")
        return EvaluationPictures(program.prepared.data, program.validation, key)

    def flush(self) -> None:
        """Writes what trackers hold back."""
        for member in self._members:
            member.flush()

    def results(self, found: Sequence[Results]) -> None:
        """The content of each results.json, as scalars "test/..."; ends the trackers.

        Args:
            found: see `finish.finish_members`.
        """
        for member, results in zip(self._members, found, strict=False):
            numbers = {f"test/{k}": v for k, v in results.items() if v is not None}
            if has_results := "step" in results:
                member.scalars(int(results["step"]), numbers)
            member.finish(succeeded=has_results)


def about(config: ConfigDict, folder: pathlib.Path, step: int) -> About:
    """What trackers are told of a run when they start.

    Args:
        config: config of the run.
        folder: its folder; that of a member lies in `members` of a grid's.
        step: number of updates already made.
    """
    whole = grid = members.grid_of(folder)
    if grid and (grid / shards.OWN).is_file():
        whole = grid.parent.parent
    return About(
        workdir=folder,
        name=folder.absolute().name,
        group=whole.name if whole else None,
        root=grid,
        start_step=step,
        fields=fields_in_use(config),
    )


def fields_in_use(config: ConfigDict) -> Fields:
    """The fields of a config that make it the run it is, flat.

    Those of parts that it has not are left out.
    """
    nested = config.to_dict()
    chosen = set(names_of(nested).values())
    others = {name for table in TABLES.values() for name in table} - chosen
    flat = flatten({k: v for k, v in nested.items() if k not in others})
    return {name: value for name, value in flat.items() if not identity.is_free(name)}


def _spreads(statistics: Statistics) -> dict[str, np.ndarray]:
    """Values to be shown as histograms: over images, and over latent dimensions."""
    spreads = {
        f"eval/{name}_per_image": np.asarray(statistics[name])
        for name in ("rate", "distortion")
        if name in statistics
    }
    layers = statistics["layers"]
    rates = [layer.kl for layer in layers if layer.kl is not None]
    for number, rate in enumerate(jax.tree.leaves(rates), start=1):
        layer = f"_layer{number}" if len(rates) > 1 else ""
        spreads[f"eval/rate_per_dimension{layer}"] = np.asarray(rate)
    return spreads
