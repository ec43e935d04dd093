"""Many trainings as one program: an axis M of members in front of everything."""

from collections.abc import Callable
from typing import Literal, TypeVar

import jax

from vae_jax.training.arguments import check_members
from vae_jax.training.state import Learned, TrainState
from vae_jax.training.step import Trainer
from vae_jax.types import Array, Examples, Hparams, Key, Metrics, ModelState

Mode = Literal["vmap", "exact"]
"""How M members are computed: side by side, or in turn with the bits of single runs."""

Result = TypeVar("Result")


def over_members(function: Callable[..., Result], mode: Mode) -> Callable[..., Result]:
    """A function of one member as a function of M.

    Args:
        function: function of pytrees of one member.
        mode: "vmap" computes the members side by side, which equals single calls up
            to rounding; "exact" one after the other, bit for bit as single calls. With
            one member XLA removes the loop over it, which then costs nothing.

    Returns:
        A function whose arguments and results have an axis M in front.
    """
    if mode == "vmap":
        return jax.vmap(function)
    return lambda *members: jax.lax.map(lambda own: function(*own), members)


def ensemble(trainer: Trainer) -> Trainer:
    """A trainer of M members that share each batch and differ in key and hparams.

    The members are computed side by side (`vmap`), which equals single runs up to
    rounding. Where every bit must match, map whole trainings instead, as
    `training.chunks.compile_chunk(..., mode="exact")` does: a compiler may round a
    step differently once the map stands inside the loop over steps.

    Args:
        trainer: trainer of one member.

    Returns:
        A trainer with `init(keys [M], x) -> states` and
        `step(states, x, keys [M], hparams with fields [M]) -> (states, metrics [M])`;
        `loss` likewise, with parameters of M members.
    """

    def init(keys: Key, x: Examples) -> TrainState:
        return jax.vmap(trainer.init, in_axes=(0, None))(keys, x)

    def step(
        states: TrainState, x: Examples, keys: Key, hparams: Hparams
    ) -> tuple[TrainState, Metrics]:
        check_members(keys, hparams)
        return jax.vmap(trainer.step, in_axes=(0, None, 0, 0))(states, x, keys, hparams)

    def loss(
        params: Learned,
        x: Examples,
        key: Key,
        hparams: Hparams,
        model_state: ModelState = None,
    ) -> tuple[Array, Metrics]:
        check_members(key, hparams)
        over_members = jax.vmap(trainer.loss, in_axes=(0, None, 0, 0, 0))
        return over_members(params, x, key, hparams, model_state)

    return Trainer(init, step, loss)
