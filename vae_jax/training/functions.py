"""A model of any library as two pure functions, with the state that it may carry."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from vae_jax.errors import ContractError
from vae_jax.models.base import takes
from vae_jax.outputs import VAEOutput, note_axes
from vae_jax.training import arguments
from vae_jax.training.advice import advised
from vae_jax.training.checks import check_output
from vae_jax.training.hparams import any_number, watch
from vae_jax.training.state import Variables
from vae_jax.types import Array, Examples, Hparams, Key, ModelState, Params, stream

Output = TypeVar("Output")  # VAEOutput, or SplitOutput of a model that splits


class AnyModel(Protocol):
    """What can be trained: a Flax linen module, or one of the two pairs below."""

    @property
    def init(self) -> Callable[..., Any]:
        """The parameters, from a key and x."""
        ...

    @property
    def apply(self) -> Callable[..., Any]:
        """The output, from parameters, x and a key."""
        ...


class ModelFunctions(NamedTuple):
    """A model without state, of any library, as two functions."""

    init: Callable[[Key, Examples], Params]
    """(key, x) -> params."""

    apply: Callable[[Params, Examples, Key], Any]
    """(params, x, key) -> VAEOutput."""


class StatefulModel(NamedTuple):
    """A model that keeps more than parameters, such as averages over batches."""

    init: Callable[[Key, Examples], tuple[Params, ModelState]]
    """(key, x) -> params and the first state, a pytree of arrays."""

    apply: Callable[
        [Params, ModelState, Examples, Key, Hparams, bool], tuple[Any, ModelState]
    ]
    """(params, model_state, x, key, hparams, train) -> VAEOutput and the next state.

    Where `train` is False the state is given back as it is."""

    splits_encoder: bool = False
    """Whether the output is a `SplitOutput`."""

    encoder_names: tuple[str, ...] = ()
    """Names, at any depth, of parts of the encoder; see `split.separate_encoder`."""


def stateful_model(model: AnyModel) -> StatefulModel:
    """The two functions of any kind of model.

    For a Flax linen module, every collection except "params" is state. If its
    `__call__` has arguments `train` and `hparams` beside x and the key, it is given
    them, and in training it has the random stream "dropout". While parameters are made,
    every hyperparameter is 1.

    Args:
        model: a Flax linen module whose `__call__(x, key)` returns a VAEOutput, a
            `ModelFunctions` or a `StatefulModel`.

    Raises:
        ContractError: the model is of another kind.
    """
    if isinstance(model, StatefulModel):
        return model
    if isinstance(model, ModelFunctions):
        return _without_state(model)
    arguments.check_module(model)
    return _of_module(model)


def model_functions(model: Any, hparams: Hparams | None = None) -> ModelFunctions:
    """A model as it is evaluated: its variables are parameters and state together.

    Args:
        model: see `stateful_model`.
        hparams: hyperparameters for a model that takes them.

    Returns:
        `init(key, x) -> variables` and `apply(variables, x, key) -> VAEOutput`. The
        variables are those of `TrainState.eval_variables`: the parameters, or a
        `Variables` of a model that has state.
    """
    if isinstance(model, ModelFunctions):
        return model
    if hparams is None and not isinstance(model, StatefulModel):
        try:
            return _cached_functions(model)
        except TypeError:  # a module with a field that has no hash
            pass
    return _evaluated(stateful_model(model), {} if hparams is None else hparams)


@functools.lru_cache(maxsize=128)
def _cached_functions(module: Any) -> ModelFunctions:
    """The same functions for equal modules, so that nothing is compiled again."""
    return _evaluated(stateful_model(module), {})


def _evaluated(functions: StatefulModel, hparams: Hparams) -> ModelFunctions:
    """The two functions of a model that does not train."""

    def init(key: Key, x: Examples) -> Params | Variables:
        return Variables.joined(*functions.init(key, x))

    def apply(variables: Params | Variables, x: Examples, key: Key) -> VAEOutput:
        if not isinstance(variables, Variables):
            variables = Variables(variables, {})
        params, model_state = variables.params, variables.model_state
        read = watch(hparams).reader("the model")
        return functions.apply(params, model_state, x, key, read, False)[0]

    return ModelFunctions(init, apply)


def draw_samples(
    apply: Callable[[Key], tuple[Output, ModelState]],
    x: Examples,
    key: Key,
    num_samples: int,
) -> tuple[Output, ModelState]:
    """Runs a model with K keys: every array of the output gets an axis K in front.

    The encoder does not depend on the key, so `vmap` computes it once.

    Args:
        apply: key -> VAEOutput and the next state of the model.
        x: the batch, [B, ...], or a pytree of such arrays.
        key: random key, split into K.
        num_samples: K.

    Returns:
        A VAEOutput with fields [K, B, ...], and the mean over K of the next states;
        what is no real number in them, such as a random key, is that of the first.

    Raises:
        ContractError: the output does not fit x, see `checks.check_output`.
    """

    def one_sample(z_key: Key) -> tuple[Output, ModelState]:
        output, model_state = apply(z_key)
        check_output(output, x)
        return note_axes(output), model_state

    keys = jax.random.split(key, num_samples)
    if num_samples == 1:
        # The same numbers. An axis of one draw inside the model would slow a CPU down
        # and, over several devices, cost a second sum of gradients.
        output, model_state = one_sample(keys[0])
        return jax.tree.map(lambda leaf: leaf[None], output), model_state
    output, states = jax.vmap(one_sample)(keys)

    def one(leaf: Array) -> Array:
        is_real = jnp.issubdtype(leaf.dtype, jnp.inexact)
        return leaf.mean(0).astype(leaf.dtype) if is_real else leaf[0]

    return output, jax.tree.map(one, states)


def apply_samples(
    apply: Callable[[Params, Examples, Key], Output],
    params: Params,
    x: Examples,
    key: Key,
    num_samples: int,
) -> Output:
    """The output of a model with a sample axis K, as an objective is given it.

    Args:
        apply: (params, x, key) -> VAEOutput, from `model_functions`.
        params: parameters of the model.
        x: the batch, [B, ...], or a pytree of such arrays.
        key: random key, split into K.
        num_samples: K.

    Returns:
        A VAEOutput with fields [K, B, ...].

    Raises:
        ContractError: the output does not fit x, see `checks.check_output`.
    """
    return draw_samples(lambda k: (apply(params, x, k), {}), x, key, num_samples)[0]


def _without_state(model: ModelFunctions) -> StatefulModel:
    def apply(
        params: Params,
        state: ModelState,
        x: Examples,
        key: Key,
        hparams: Hparams,
        train: bool,
    ) -> tuple[Any, ModelState]:
        del hparams, train
        return model.apply(params, x, key), state

    return StatefulModel(lambda key, x: (model.init(key, x), {}), apply)


def _of_module(module: Any) -> StatefulModel:
    """The functions of a Flax linen module."""

    def settings_of(hparams: Hparams, train: bool) -> dict[str, object]:
        offered = {"hparams": hparams, "train": train}
        return {name: v for name, v in offered.items() if takes(module, name)}

    def init(key: Key, x: Examples) -> tuple[Params, ModelState]:
        params_key, z_key = jax.random.split(key)
        rngs = {"params": params_key, "dropout": stream(params_key, "dropout")}
        variables = dict(module.init(rngs, x, z_key, **settings_of(any_number(), True)))
        # An autoencoder or a model without parameters in some part still has "params".
        return variables.pop("params", {}), variables

    def apply(
        params: Params,
        state: ModelState,
        x: Examples,
        key: Key,
        hparams: Hparams,
        train: bool,
    ) -> tuple[Any, ModelState]:
        variables = {"params": params, **state}
        rngs = {"dropout": stream(key, "dropout")} if train else None
        settings = settings_of(hparams, train)
        with advised(train):
            if not train or not state:
                return module.apply(variables, x, key, rngs=rngs, **settings), state
            output, new = module.apply(
                variables, x, key, rngs=rngs, mutable=list(state), **settings
            )
        _check_grown(state, dict(new))
        return output, dict(new)

    names = getattr(module, "encoder_names", ())
    return StatefulModel(init, apply, encoder_names=names)


def _check_grown(state: ModelState, new: ModelState) -> None:
    """Raises if a collection has not the form that it had before a step."""
    for name in new:
        before, after = map(jax.tree.structure, (state[name], new[name]))
        if before != after:  # type: ignore[operator]
            raise ContractError(
                f"the model's collection {name!r} has another structure after a step:"
                " what it sows must go into 'intermediates', or out by"
                " VAEOutput.extras"
            )
