"""Many trainings as one program: an axis M of members in front of everything."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vae_jax.training.state import TrainState
from vae_jax.training.step import Trainer
from vae_jax.types import Hparams, Key, Metrics


def ensemble(trainer: Trainer) -> Trainer:
    """A trainer of M members that share each batch and differ in key and hparams.

    The members are computed side by side (`vmap`), which equals single runs up to
    rounding. Where every bit must match, map whole trainings instead, as
    `training.loop.compile_chunk(..., members="exact")` does: a compiler may round a
    step differently once the map stands inside the loop over steps.

    Args:
        trainer: of one member.

    Returns:
        A trainer with `init(keys [M], x) -> states` and
        `step(states, x, keys [M], hparams with fields [M]) -> (states, metrics [M])`.
    """

    def init(keys: Key, x: Any) -> TrainState:
        return jax.vmap(trainer.init, in_axes=(0, None))(keys, x)

    def step(
        states: TrainState, x: Any, keys: Key, hparams: Hparams
    ) -> tuple[TrainState, Metrics]:
        over_members = jax.vmap(trainer.step, in_axes=(0, None, 0, 0))
        return over_members(states, x, keys, hparams)

    return Trainer(init, step)


def member_sharding(num_members: int) -> NamedSharding:
    """Spreads an axis of members, the first one, over the devices.

    Members do not talk to each other, so each device computes its own and the compiled
    program has no communication. All devices are used if they divide the members, else
    as many as do.
    """
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if num_members % n == 0)
    mesh = Mesh(np.asarray(devices[:count]), ("member",))
    return NamedSharding(mesh, PartitionSpec("member"))
