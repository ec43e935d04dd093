"""Training as a pair of pure functions: the part that other projects import."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import errors as flax_errors

from vae_jax.errors import ContractError
from vae_jax.objectives.elbo import Objective
from vae_jax.objectives.schedules import Schedule, unchanged
from vae_jax.outputs import SplitOutput, VAEOutput
from vae_jax.training import arguments
from vae_jax.training.checks import check_objective, check_output, check_support
from vae_jax.training.hparams import check_all_read, watch
from vae_jax.training.state import TrainState
from vae_jax.types import Array, Hparams, Key, Metrics, Params


class Trainer(NamedTuple):
    """Two pure functions. The caller jits, scans, vmaps or shards them."""

    init: Callable[[Key, Any], TrainState]
    step: Callable[[TrainState, Any, Key, Hparams], tuple[TrainState, Metrics]]


class ModelFunctions(NamedTuple):
    """A model of any library as two functions."""

    init: Callable[[Key, Any], Params]  # (key, x) -> params
    apply: Callable[[Params, Any, Key], Any]  # (params, x, key) -> VAEOutput


def model_functions(model: Any) -> ModelFunctions:
    """The two functions of a Flax module whose `__call__(x, key)` gives a VAEOutput.

    A `ModelFunctions` passes through.

    Raises:
        ContractError: the model is neither; or, when it is applied, it keeps more than
            parameters or asks for a random stream of its own.
    """
    if isinstance(model, ModelFunctions):
        return model
    arguments.check_module(model)

    def init(key: Key, x: Any) -> Params:
        params_key, z_key = jax.random.split(key)
        # An autoencoder or a model without parameters in some part still has "params".
        return model.init(params_key, x, z_key).get("params", {})

    def apply(params: Params, x: Any, key: Key) -> VAEOutput:
        try:
            return model.apply({"params": params}, x, key)
        except flax_errors.FlaxError as error:
            if advice := _what_a_step_does_not_carry(error):
                raise ContractError(advice) from error
            raise

    return ModelFunctions(init, apply)


def _what_a_step_does_not_carry(error: flax_errors.FlaxError) -> str | None:
    """What to write in the place of a layer with state or a random stream."""
    text = str(error)
    rng = re.match(r'(\S+) needs PRNG for "(\w+)"', text)
    # At apply, only a variable that is missing is drawn from "params" anew.
    if rng and rng[2] != "params":
        return (
            f"{rng[1]} asks for the random stream {rng[2]!r}, and there is only the key"
            " of __call__(x, key): give it a part of that, as in"
            " nn.Dropout(0.1, deterministic=False)(h, rng=dropout_key)"
        )
    kinds = (
        flax_errors.ScopeCollectionNotFound,
        flax_errors.ScopeVariableNotFoundError,
        flax_errors.ModifyScopeVariableError,
    )
    if rng or isinstance(error, kinds):
        collection = re.search(r'collection "(\w+)"', text)
        return (
            f"the model keeps {repr(collection[1]) if collection else 'variables'}"
            " beside its parameters, which a step does not carry: use LayerNorm or"
            " GroupNorm in the place of BatchNorm, WeightNorm in that of SpectralNorm"
        )
    return None


def apply_samples(
    apply: Callable[[Params, Any, Key], VAEOutput],
    params: Params,
    x: Any,
    key: Key,
    num_samples: int,
) -> VAEOutput:
    """Runs the model with K keys: every array of the output gets an axis K in front.

    The encoder does not depend on the key, so `vmap` computes it once.

    Args:
        apply: (params, x, key) -> VAEOutput.
        params: of the model.
        x: a batch, [B, ...], or a pytree of such arrays.
        key: split into K.
        num_samples: K.

    Returns:
        A VAEOutput with fields [K, B, ...].

    Raises:
        ContractError: the output does not fit x, see `checks.check_output`.
    """

    def one_sample(z_key: Key) -> VAEOutput:
        output = apply(params, x, z_key)
        check_output(output, x)
        return output

    keys = jax.random.split(key, num_samples)
    if num_samples == 1:
        # The same numbers. An axis of one draw inside the model would slow a CPU down
        # and, over several devices, cost a second sum of gradients.
        return jax.tree.map(lambda leaf: leaf[None], one_sample(keys[0]))
    return jax.vmap(one_sample)(keys)


def vae_trainer(
    model: Any,
    objective: Objective,
    tx: optax.GradientTransformation,
    *,
    num_samples: int = 1,
    schedule: Schedule = unchanged,
    ema_decay: float | None = None,
) -> Trainer:
    """Builds `init(key, x) -> state` and `step(state, x, key, hparams)`.

    `step` returns the next state and a dict of scalars: "loss" and the objective's
    metrics. `key` is the same for the whole run: that of step t is
    `fold_in(key, t)`, so a restored run repeats exactly. `hparams` holds traced
    numbers (see `make_hparams`), so one compilation serves every KL weight; each must
    be read by the schedule, the objective or the optimiser. `x` is whatever the model
    takes: an array [B, ...] or a pytree of them.

    Args:
        model: a Flax module whose `__call__(x, key)` returns a VAEOutput, or a
            `ModelFunctions` pair.
        objective: (output, x, hparams) -> (loss, metrics); the output has a leading
            sample axis K, see `terms`.
        tx: any optax transformation.
        num_samples: K, draws of the latents per example.
        schedule: (step, hparams) -> hparams, see `objectives.schedules`.
        ema_decay: if given, the state also carries an exponential moving average of
            the parameters with decay min(ema_decay, (1 + t) / (10 + t)).

    Returns:
        A Trainer. Its functions raise, while they are traced and so at no cost to the
        compiled step, a ContractError if model, objective, hparams and x don't fit
        together. `init` raises a DataError if x holds values that the likelihood gives
        no probability (given numbers, that is: inside `jit` it can't see them).

    Raises:
        ContractError: model, objective, tx or schedule is no such thing.
        ConfigError: num_samples is no whole number above 0, or ema_decay not in [0, 1).
    """
    functions = model_functions(model)
    arguments.check_objective_argument(objective)
    arguments.check_transformation(tx)
    arguments.check_schedule(schedule)
    arguments.check_num_samples(num_samples)
    arguments.check_ema_decay(ema_decay)
    tx = optax.with_extra_args_support(tx)

    def init(key: Key, x: Any) -> TrainState:
        params = functions.init(key, x)
        output = jax.eval_shape(functions.apply, params, x, key)
        check_output(output, x)
        output = output.decoder if isinstance(output, SplitOutput) else output
        check_support(output.likelihood, x)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=tx.init(params),
            # A copy: donating a state that holds one buffer twice is an error.
            ema_params=None if ema_decay is None else jax.tree.map(jnp.copy, params),
        )

    def step(
        state: TrainState, x: Any, key: Key, hparams: Hparams
    ) -> tuple[TrainState, Metrics]:
        z_key = jax.random.fold_in(key, state.step)
        asked: set[str] = set()
        now = schedule(state.step, watch(hparams, "the schedule", asked))
        now = watch(now, "the objective", asked, "what the schedule returned")

        def loss_fn(params: Params) -> tuple[Array, Metrics]:
            output = apply_samples(functions.apply, params, x, z_key, num_samples)
            return check_objective(objective(output, x, now))

        (loss, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        updates, opt_state = tx.update(
            grads,
            state.opt_state,
            state.params,
            hparams=watch(now, "the optimiser", asked),
        )
        check_all_read(hparams, asked)
        params = optax.apply_updates(state.params, updates)
        ema_params = state.ema_params
        if ema_decay is not None:
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            ema_params = optax.incremental_update(params, ema_params, 1 - decay)
        next_state = TrainState(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            ema_params=ema_params,
        )
        return next_state, {"loss": loss, **metrics}

    return Trainer(init, step)
