"""Links of an optax chain: those that optax lacks, and those that a config names.

An optimiser is a link that turns a gradient into a direction; the learning rate
follows, see `training.state.scale_by_hparam`.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from vae_jax.ranges import NOT_NEGATIVE, require
from vae_jax.training.norms import euclidean_norm
from vae_jax.training.state import Learned

NUM_STAGES = 8


def scale_by_adam(
    b1: float, b2: float, eps: float, second_moment: float = 0.0
) -> optax.GradientTransformation:
    """`optax.scale_by_adam` whose second moment starts at a number.

    The code of Burda et al. 2016 starts it at 1 for gradients summed over 20 images,
    which is 1 / 400 for their mean: the first few thousand steps are short ones.
    """
    adam = optax.scale_by_adam(b1, b2, eps)

    def init(params: optax.Params) -> optax.OptState:
        state: Any = adam.init(params)
        nu = jax.tree.map(lambda leaf: jnp.full_like(leaf, second_moment), state.nu)
        return state._replace(nu=nu)

    return optax.GradientTransformation(init, adam.update)


def normalize_each() -> optax.GradientTransformation:
    """Divides the gradient of each parameter array by its Euclidean norm.

    Before Adam, this is "AdamNormGrad" of the code of Tomczak and Welling 2018.
    """

    def normalize(
        gradients: optax.Updates, params: optax.Params | None = None
    ) -> optax.Updates:
        return jax.tree.map(lambda g: g / (euclidean_norm(g) + 1e-10), gradients)

    return optax.stateless(normalize)


def stages(num_steps: int) -> optax.Schedule:
    """Eight learning rates, each for three times as long as the one before.

    Factor round(10^(1 - i / 7), 1) / 10 in stage i = 0, ..., 7, which takes the share
    3^i / 3280 of all steps: 1, 0.72, 0.52, 0.37, 0.27, 0.19, 0.14, 0.1. With 3,280
    epochs, this is the schedule of Burda et al. 2016, arXiv:1509.00519, section 5, with
    rates as their code rounds them.

    Args:
        num_steps: number of steps of the whole training.

    Returns:
        The schedule, step -> factor.
    """
    factors = [round(10 ** (1 - i / (NUM_STAGES - 1)), 1) / 10 for i in range(8)]
    ends = [(3 ** (i + 1) - 1) / (3**NUM_STAGES - 1) for i in range(NUM_STAGES - 1)]
    return optax.join_schedules(
        [optax.constant_schedule(factor) for factor in factors],
        [round(end * num_steps) for end in ends],
    )


def with_extra_arguments(tx: Any) -> optax.GradientTransformationExtraArgs:
    """An optax transformation whose `update` may be given any keyword argument.

    It is handed on those that its `update` takes, and no other.
    `optax.with_extra_args_support` takes everything from an object such as
    `optax.MultiSteps`, whose `update` does take it, and gives everything to one with a
    fixed list of arguments.

    Args:
        tx: any object with `init` and `update`.

    Returns:
        The optax transformation.
    """
    parameters = inspect.signature(tx.update).parameters.values()
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    names = {p.name for p in parameters}

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        **extra: object,
    ) -> tuple[optax.Updates, optax.OptState]:
        taken = {n: v for n, v in extra.items() if takes_all or n in names}
        return tx.update(updates, state, params, **taken)

    return optax.GradientTransformationExtraArgs(tx.init, update)


def separately(
    of_model: optax.GradientTransformationExtraArgs,
    of_objective: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """One optimiser for the model and another one for the objective's parameters.

    Each is given its own part of all that is one of `Learned`. What one asks of
    `value_fn`, as a line search does, has the other part as it was before the step.

    Args:
        of_model: the optax transformation of the model's parameters.
        of_objective: that of the objective's.

    Returns:
        The optax transformation of `Learned(model, objective)`.
    """
    both = {"model": of_model, "objective": of_objective}

    def init(params: Any) -> Any:
        return {name: tx.init(getattr(params, name)) for name, tx in both.items()}

    def update(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        def of_part(name: str) -> tuple[optax.Updates, optax.OptState]:
            def value_fn(part: Any, hparams: Any = None) -> Any:
                return extra["value_fn"](params.replace(**{name: part}), hparams)

            own = {**extra, "grad": getattr(extra["grad"], name), "value_fn": value_fn}
            parts = getattr(updates, name), state[name], getattr(params, name)
            return both[name].update(*parts, **own)

        found = {name: of_part(name) for name in both}
        moved = Learned(**{name: part[0] for name, part in found.items()})
        return moved, {name: part[1] for name, part in found.items()}

    return optax.GradientTransformationExtraArgs(init, update)


def adamw(
    b1: float,
    b2: float,
    eps: float,
    second_moment: float = 0.0,
    weight_decay: float = 1e-4,
) -> optax.GradientTransformation:
    """`scale_by_adam`, and weights that decay at the learning rate times a number.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2.

    Args:
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root of the second moment.
        second_moment: where the second moment starts.
        weight_decay: multiplies the parameters.

    Returns:
        The optax transformation.

    Raises:
        ConfigError: the weight decay is below 0.
    """
    require(NOT_NEGATIVE, weight_decay=weight_decay)
    adam = scale_by_adam(b1, b2, eps, second_moment)
    return optax.chain(adam, optax.add_decayed_weights(weight_decay))


BY_NAME: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": scale_by_adam,
    "adamw": adamw,
    "sgd": optax.identity,
}
"""The optimisers by the names that a config calls them."""

SCHEDULES: dict[str, Callable[..., optax.GradientTransformation]] = {
    "constant": optax.identity,
    "cosine": lambda num_steps: optax.scale_by_schedule(
        optax.cosine_decay_schedule(1.0, num_steps)
    ),
    "stages": lambda num_steps: optax.scale_by_schedule(stages(num_steps)),
}
"""Links that multiply the learning rate over the steps of a training, by name."""
