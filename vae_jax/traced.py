"""The objective of a config, and the numbers that a training step takes as arguments.

Configs that differ in these numbers and the seed alone are members of one program.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from vae_jax import objectives
from vae_jax.data.spec import ANY_DATA, DataSpec
from vae_jax.errors import ConfigError, choose
from vae_jax.flat import flatten
from vae_jax.objectives.base import Objective, as_objective
from vae_jax.parts import make
from vae_jax.training.state import make_hparams
from vae_jax.types import Hparams

# Traced numbers that are not for the objective: the optimiser and a schedule read them.
OF_TRAINING = ("learning_rate", "warmup_steps")


def flatten_members(configs: Sequence[ConfigDict]) -> Iterator[dict[str, Any]]:
    """The fields of configs that differ in the seed and in traced numbers alone, flat.

    Args:
        configs: configs that one program trains.

    Yields:
        {"train.num_steps": 3000, ...} for each of them.
    """
    shared = flatten(configs[0].to_dict())
    for config in configs:
        own = {"seed": config.seed, "hparams": config.hparams.to_dict()}
        yield shared | flatten(own)


def for_objective(config: ConfigDict, spec: DataSpec) -> dict[str, object]:
    """What the constructor of an objective may take, by the names of arguments."""
    return {**vars(spec), **config.objective}


def make_objective(config: ConfigDict, spec: DataSpec) -> Objective:
    """The objective that the config names."""
    made = make(config, "objective.name", for_objective(config, spec))
    return as_objective(made)  # one of a user's own may be a plain function


def traced_numbers(configs: Sequence[ConfigDict]) -> list[dict[str, float]]:
    """The numbers of `config.hparams` that a step reads, of each config.

    What the objective declares, and what the optimiser and the schedule read. An
    objective that declares nothing gets what no other one declares.

    Args:
        configs: configs that differ in the seed and in traced numbers alone.

    Raises:
        ConfigError: a number that only other objectives read is not 0.
    """
    config = configs[0]
    given = for_objective(config, ANY_DATA)
    made = {
        name: as_objective(make(config, "objective.name", given, name))
        for name in objectives.BY_NAME
    }
    objective = choose(made, "objective.name", config.objective.name)
    declared = {name: other.hparams for name, other in made.items()}
    of_others = {n for names in declared.values() for n in names or ()}
    if objective.hparams is None:
        mine = set(config.hparams) - of_others
    else:
        mine = set(objective.hparams)
    mine |= {*OF_TRAINING, objective.scheduled}
    rows = [config.hparams.to_dict() for config in configs]
    for name, value in (item for row in rows for item in row.items()):
        if name not in mine and value:
            readers = [n for n, names in declared.items() if name in (names or ())]
            advice = f"choose {' or '.join(readers)}" if readers else "leave it at 0"
            raise ConfigError(
                f"hparams.{name}={value} has no effect with"
                f" objective.name={config.objective.name}: {advice}"
            )
    return [{name: row[name] for name in row if name in mine} for row in rows]


def make_hparams_of(config: ConfigDict) -> Hparams:
    """The traced numbers of a config, []."""
    return jax.tree.map(lambda value: value[0], make_member_hparams([config]))


def make_member_hparams(configs: Sequence[ConfigDict]) -> Hparams:
    """The traced numbers of several configs that share a program, [M].

    What costs something even at 0 is left out if it is 0 in all configs: free nats, a
    floor on means over the whole batch, are a sum over all devices that the gradients
    would have to wait for, and the entropy penalty compares each vector with all codes.
    """
    rows = traced_numbers(configs)
    values = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("free_nats", "free_nats_per_layer", "entropy_weight"):
        if not any(values.get(name, ())):
            values.pop(name, None)
    return make_hparams(**values)
