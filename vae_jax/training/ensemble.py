"""Many trainings as one program: an axis M of members in front of everything."""

from typing import Any, Literal

import jax

from vae_jax.training.state import TrainState
from vae_jax.training.step import Trainer
from vae_jax.types import Hparams, Key, Metrics


def ensemble(trainer: Trainer, mode: Literal["vmap", "exact"] = "vmap") -> Trainer:
    """A trainer of M members that share each batch and differ in key and hparams.

    Args:
        trainer: of one member.
        mode: "vmap" computes the members side by side: fastest, equal to single runs up
            to rounding. "exact" computes them in turn (`lax.map`) inside the same
            program: bit for bit equal to single runs.

    Returns:
        A trainer with `init(keys [M], x) -> states` and
        `step(states, x, keys [M], hparams with fields [M]) -> (states, metrics [M])`.
    """

    def init(keys: Key, x: Any) -> TrainState:
        if mode == "exact":
            return jax.lax.map(lambda key: trainer.init(key, x), keys)
        return jax.vmap(trainer.init, in_axes=(0, None))(keys, x)

    def step(
        states: TrainState, x: Any, keys: Key, hparams: Hparams
    ) -> tuple[TrainState, Metrics]:
        if mode == "exact":
            return jax.lax.map(
                lambda member: trainer.step(member[0], x, member[1], member[2]),
                (states, keys, hparams),
            )
        return jax.vmap(trainer.step, in_axes=(0, None, 0, 0))(states, x, keys, hparams)

    return Trainer(init, step)
