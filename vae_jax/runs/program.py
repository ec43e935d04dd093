"""Runs that one compiled program trains, and what they share."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from vae_jax import build, traced
from vae_jax.data.dataset import Dataset
from vae_jax.data.examples import Inputs, abstract_x, inputs
from vae_jax.evaluation.data import Data, Split
from vae_jax.runs import identity
from vae_jax.runs.announce import announce, announce_unused_gpu
from vae_jax.runs.best import Saved, abstract_saved_by
from vae_jax.runs.memory import check_numbers
from vae_jax.runs.needs import Arrays, trace
from vae_jax.runs.run_data import run_data, split_of
from vae_jax.storage.trackers import check_installed
from vae_jax.suitability import check_condition, check_data
from vae_jax.training.ensemble import Mode
from vae_jax.training.mesh import Layout
from vae_jax.training.step import Trainer
from vae_jax.types import Hparams, Key, stream


class Prepared(NamedTuple):
    """The data, the model and the trainer that the members of a program share."""

    dataset: Dataset
    model: nn.Module  # see `models.base.Model`
    inputs: Inputs  # names of the parts of the data that the model is given
    data: Data  # the data set as measures are given it
    trainer: Trainer  # of one member
    saved: Saved  # shapes of what a checkpoint holds of one member
    arrays: Arrays  # of one member's training, see `needs.trace`


@dataclasses.dataclass(frozen=True)
class Program:
    """Runs that one compiled program trains, its M members.

    They differ in the seed and in traced numbers alone, and have an axis M in front of
    state, keys, hparams and metrics. A single run is a program of one member in mode
    "exact", which has the bits, the memory and the speed of a step without the axis.
    """

    configs: Sequence[ConfigDict]
    folders: Sequence[pathlib.Path]  # where each member lies as an ordinary run
    store: pathlib.Path  # the folder whose `checkpoints` hold all members together
    prepared: Prepared
    mode: Mode
    layout: Layout

    @property
    def config(self) -> ConfigDict:
        """The config of what all members have in common."""
        return self.configs[0]

    @property
    def dataset(self) -> Dataset:
        return self.prepared.dataset

    @property
    def inputs(self) -> Inputs:
        return self.prepared.inputs

    @property
    def is_single(self) -> bool:
        """Whether it is one run, whose checkpoints lie in its own folder."""
        return self.store == self.folders[0]

    @functools.cached_property
    def digests(self) -> list[str]:
        """The digest of each member, see `identity.digest`."""
        members = traced.flatten_members(self.configs)
        return [identity.digest(flat, self.described) for flat in members]

    @functools.cached_property
    def described(self) -> dict[str, object]:
        """The content of data.json of each member."""
        return identity.describe(self.dataset, self.inputs)

    def keys(self, name: str) -> Key:
        """The members' keys for a named purpose, [M]."""
        roots = build.run_keys(self.configs)
        return jax.vmap(stream, in_axes=(0, None))(roots, name)

    @functools.cached_property
    def hparams(self) -> Hparams:
        """The members' traced numbers, [M]."""
        return traced.make_member_hparams(self.configs)

    @functools.cached_property
    def validation(self) -> Split:
        """The validation split as the model takes it, compiled for once."""
        return split_of(self.config, self.dataset, self.inputs, "validation")

    def __str__(self) -> str:
        count = len(self.configs)
        names = "one run" if count == 1 else f"{count} members"
        in_turn = " in turn" if self.mode == "exact" and count > 1 else ""
        return f"{names}{in_turn} on {self.layout}"


class Datasets:
    """The data sets of a grid, each of which is loaded and announced once."""

    def __init__(self) -> None:
        self._loaded: dict[str, Dataset] = {}
        self._announced: set[str] = set()

    def of(self, config: ConfigDict) -> Dataset:
        """The data of a config, which several configs may share."""
        asked = repr([config.data[field] for field in build.LOADING_FIELDS])
        if not self._loaded:
            announce_unused_gpu()
        if asked not in self._loaded:
            self._loaded[asked] = build.make_dataset(config)
        whole = repr(sorted(config.data.to_dict().items()))
        if whole not in self._announced:
            announce(config, self._loaded[asked])
            self._announced.add(whole)
        return self._loaded[asked]


def prepare(config: ConfigDict, datasets: Datasets | None = None) -> Prepared:
    """Loads the data and builds what trains and evaluates a model on them.

    Args:
        config: a config that `build.check` has passed.
        datasets: those loaded before; gets this one.

    Returns:
        A value shared by all configs that differ in traced numbers and seed only.

    Raises:
        VAEJaxError: the data are unusable or don't suit the config, or a number of the
            config is too large to try.
    """
    check_numbers(config)
    check_installed(config.train.trackers)
    dataset = (datasets or Datasets()).of(config)
    check_condition(config.model.condition, dataset)
    parts = build.make_parts(config, dataset.spec)
    check_data(config, parts, dataset)
    model, trainer = parts["model"], build.make_trainer(config, parts)
    given = inputs(model)
    saved = abstract_saved_by(trainer, config, abstract_x(dataset.spec, given, 1))
    return Prepared(
        dataset=dataset,
        model=model,
        inputs=given,
        data=run_data(config, dataset, given),
        trainer=trainer,
        saved=saved,
        arrays=trace(config, dataset.spec, model, saved),
    )
