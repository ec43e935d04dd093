"""Checks of the arguments of `vae_trainer`, and of what its functions are given.

A mistake here would otherwise end, much later, in an error of Flax, optax or Python
that names neither the argument nor what to write.
"""

import inspect
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.errors import ContractError
from vae_jax.objectives.base import Objective
from vae_jax.training.state import Learned
from vae_jax.types import Examples, Hparams, Key

_ORDER = "the order is vae_trainer(model, objective, tx)"


def check_module(model: object) -> None:
    """Raises unless a model has Flax's `init` and `apply`.

    Raises:
        ContractError: says what to write.
    """
    both = callable(getattr(model, "init", None)) and callable(
        getattr(model, "apply", None)
    )
    if isinstance(model, nn.Module) or (both and not isinstance(model, type | tuple)):
        return
    if isinstance(model, type):
        advice = f"make one of it, as in {model.__name__}(...)"
    elif _is_transformation(model):
        advice = _ORDER
    elif any(c.__module__.startswith("flax.nnx") for c in type(model).__mro__):
        advice = (
            "take it apart with nnx.split in `init` and put it together with"
            " nnx.merge in `apply` of a vae_jax.ModelFunctions(init, apply), as"
            " examples/nnx_model.py does"
        )
    else:
        advice = (
            "write vae_jax.ModelFunctions(init, apply), with init(key, x) -> params and"
            " apply(params, x, key) -> VAEOutput"
        )
    raise ContractError(
        f"model is {_name(model)}, which is not a Flax linen module: {advice}"
    )


def check_objective_argument(objective: object) -> None:
    """Raises unless an objective is a function of three arguments.

    Raises:
        ContractError: says what to write.
    """
    if isinstance(objective, Objective):
        return
    wanted = (
        "a function (output, x, hparams) -> (loss, metrics), such as vae_jax.elbo_loss"
    )
    if not callable(objective):
        order = f"; {_ORDER}" if _is_transformation(objective) else ""
        raise ContractError(
            f"objective is {_name(objective)}: it must be {wanted}{order}"
        )
    taken = _arguments_if_not(objective, 3)
    if taken is not None:
        raise ContractError(
            f"objective is {_name(objective)}, which takes {taken}: it must be"
            f" {wanted}; a function that makes one is called first, as in"
            " bounds.miwae(num_groups=2)"
        )


def check_transformation(tx: object) -> None:
    """Raises unless an optimiser has optax's `init` and `update`.

    Raises:
        ContractError: says what to write.
    """
    if _is_transformation(tx):
        return
    if isinstance(tx, float | int):
        advice = f"write optax.adam({tx})"
    elif callable(tx) and getattr(tx, "__module__", "").startswith("optax"):
        advice = f"call it, as in optax.{getattr(tx, '__name__', 'adam')}(1e-3)"
    else:
        advice = _ORDER
    raise ContractError(
        f"tx is {_name(tx)}: it must be an optax transformation, such as"
        f" optax.adam(1e-3); {advice}"
    )


def check_schedule(schedule: object) -> None:
    """Raises unless a schedule is a function of (step, hparams).

    Raises:
        ContractError: says what to write.
    """
    name = _name(schedule)
    wanted = "it must be a function (step, hparams) -> hparams, such as"
    if not callable(schedule):
        raise ContractError(
            f"schedule is {name}: {wanted} schedules.scale('kl_weight',"
            " schedules.linear)"
        )
    taken = _arguments_if_not(schedule, 2)
    if taken is not None:
        raise ContractError(
            f"schedule is {name}, which takes {taken}: {wanted}"
            " schedules.scale('kl_weight', lambda step, _: factor(step)) with an optax"
            " schedule `factor`"
        )
    if "warmup_steps" in _parameters(schedule):
        raise ContractError(
            f"schedule is {name}, a shape that gives a factor: {wanted}"
            f" schedules.scale('kl_weight', {getattr(schedule, '__name__', 'shape')})"
        )


def check_learned(params: object) -> None:
    """Raises unless the parameters are those of a trainer's state.

    Raises:
        ContractError: says what to give.
    """
    if not isinstance(params, Learned):
        raise ContractError(
            f"params is of type {type(params).__name__}: give state.params, a Learned,"
            " and of a model with a state also model_state=state.model_state"
        )


def check_one_key(key: Key) -> None:
    """Raises unless there is one key; an ensemble has several.

    Raises:
        ContractError: says what to do.
    """
    dtype = getattr(key, "dtype", None)
    is_typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not is_typed and dtype != jnp.uint32:
        raise ContractError(
            f"key is {type(key).__name__ if dtype is None else f'an array of {dtype}'}:"
            " give jax.random.key(seed)"
        )
    if is_typed and key.ndim:
        raise ContractError(
            f"key is an array of {key.shape} keys: the step of one training takes one;"
            " vae_jax.ensemble(trainer) takes one for each member"
        )


def check_members(keys: Key, hparams: Hparams) -> None:
    """Raises unless an ensemble is given a key and hyperparameters of each member.

    Raises:
        ContractError: names what has no axis of members.
    """
    if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) and not keys.ndim:
        raise ContractError(
            "keys is a single key: an ensemble takes one for each member, as in"
            " jax.random.split(key, M)"
        )
    # What is no dict is refused where it is read.
    for name, value in dict(hparams).items() if isinstance(hparams, Mapping) else ():
        if not jnp.ndim(value):
            raise ContractError(
                f"hparams[{name!r}] is one number: an ensemble takes one for each"
                f" member, as in make_hparams({name}=[1.0] * M)"
            )


def check_examples(x: Examples) -> None:
    """Raises unless x is a pytree of arrays [B, ...], B above 0.

    Raises:
        ContractError: there is no array, or one without examples.
    """
    shapes = {
        jax.tree_util.keystr(path): leaf.shape
        for path, leaf in jax.tree.leaves_with_path(x)
        if hasattr(leaf, "shape")
    }
    if not shapes:
        raise ContractError(
            f"x, a {type(x).__name__}, holds no arrays: it must be an array [B, ...] of"
            " NumPy or JAX, or a pytree of such"
        )
    for name, shape in shapes.items():
        if shape[:1] == (0,):
            raise ContractError(f"x{name} has the shape {shape}: it holds no examples")


def check_batch_size(least: int, x: Examples) -> None:
    """Raises if a batch is too small for an objective that compares its examples.

    Args:
        least: `Objective.min_batch_size`.
        x: a batch, any pytree of arrays [B, ...].

    Raises:
        ContractError: says how many examples there are.
    """
    size = min(leaf.shape[0] for leaf in jax.tree.leaves(x)) if least > 1 else least
    if size < least:
        raise ContractError(
            f"the objective compares the examples of a batch and needs {least} or more,"
            f" and x has {size}"
        )


def _is_transformation(thing: object) -> bool:
    return not isinstance(thing, type) and all(
        callable(getattr(thing, name, None)) for name in ("init", "update")
    )


def _arguments_if_not(function: Callable[..., object], count: int) -> str | None:
    """The signature of a function that can't be called with `count` arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some callables have none
        return None
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return f"({', '.join(signature.parameters)})"
    return None


def _parameters(function: Callable[..., object]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _name(thing: object) -> str:
    """The name of an argument in a message."""
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    if _is_transformation(thing):
        return "an optax transformation"
    if isinstance(thing, tuple):
        return f"a tuple of {len(thing)}"
    if isinstance(thing, float | int | str) or thing is None:
        return repr(thing)
    if inspect.isroutine(thing):
        return f"the function {thing.__name__}"
    return f"of type {type(thing).__name__}"
