"""Training as pure functions: the part that other projects import."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import optax

from vae_jax.distributions.base import in_float32
from vae_jax.objectives.base import Loss, Objective, as_objective
from vae_jax.objectives.schedules import Schedule, unchanged
from vae_jax.outputs import SplitOutput
from vae_jax.ranges import COUNT, FRACTION, POSITIVE, require
from vae_jax.training import arguments
from vae_jax.training.averages import average, averaged
from vae_jax.training.checks import check_objective, check_output, check_support
from vae_jax.training.functions import AnyModel, draw_samples, stateful_model
from vae_jax.training.hparams import WatchedHparams, any_number, check_all_read, watch
from vae_jax.training.norms import euclidean_norm
from vae_jax.training.optimizers import separately, with_extra_arguments
from vae_jax.training.split import separate_encoder
from vae_jax.training.state import Learned, TrainState
from vae_jax.types import (
    Array,
    Examples,
    Hparams,
    Key,
    Metrics,
    ModelState,
    Params,
    PyTree,
    stream,
)

Tree = TypeVar("Tree")  # a pytree of arrays


class LossFunction(Protocol):
    """The loss of a batch as a pure function of what is learned."""

    def __call__(
        self,
        params: Learned,
        x: Examples,
        key: Key,
        hparams: Hparams,
        model_state: ModelState = None,
    ) -> tuple[Array, Metrics]:
        """Loss and metrics; `model_state` of a model that has one."""
        ...


class Trainer(NamedTuple):
    """Three pure functions. The caller jits, scans, vmaps or shards them."""

    init: Callable[[Key, Examples], TrainState]
    """(key, x) -> state."""

    step: Callable[[TrainState, Examples, Key, Hparams], tuple[TrainState, Metrics]]
    """(state, x, key, hparams) -> (next state, metrics)."""

    loss: LossFunction
    """(params, x, key, hparams) -> (loss, metrics), for gradients of your own.

    The loss that a step minimises: with dropout and the averages of the batch. Of a
    model with a state, `state.model_state` is a fifth argument."""


def vae_trainer(
    model: AnyModel,
    objective: Objective | Loss,
    tx: optax.GradientTransformation,
    *,
    num_samples: int = 1,
    schedule: Schedule = unchanged,
    ema_decay: float | None = None,
    skip_norm: float | None = None,
    axis_name: str | None = None,
) -> Trainer:
    """Builds `init(key, x)`, `step(state, x, key, hparams)` and `loss(params, ...)`.

    `step` returns the next state and a dict of scalars: "loss", "grad_norm" (Euclidean,
    over all parameters) and the objective's metrics. `key` is the same for the whole
    run: step t draws with `fold_in(key, t)`, so a restored run repeats exactly, and

        trainer.loss(state.params, x, fold_in(key, t), schedule(t, hparams))

    is what step t minimises. From that key come those of the K draws,
    `split(fold_in(key, t), K)`, and the streams "dropout" and "objective". `hparams`
    holds traced numbers (see `make_hparams`), so one compilation serves every KL
    weight; each must be read by the schedule, the model, the objective or the
    optimiser. `x` is whatever the model takes: an array [B, ...] or a pytree of them.

    Args:
        model: a Flax linen module whose `__call__(x, key)` returns a VAEOutput (see
            `training.functions.stateful_model` for what else it may take and keep), a
            `ModelFunctions` or a `StatefulModel`.
        objective: a function (output, x, hparams) -> (loss, metrics), or an `Objective`
            that has parameters of its own; the output has a leading sample axis K, see
            `terms`.
        tx: an optax transformation of `Learned(model, objective)`, or of its part
            `model` where the objective has an optimiser of its own. It is given
            `value`, `grad`, `value_fn` and `hparams` as far as it takes them.
        num_samples: K, draws of the latents per example.
        schedule: (step, hparams) -> hparams, see `objectives.schedules`.
        ema_decay: if given, the state also carries an exponential moving average of
            the model's parameters with decay min(ema_decay, (1 + t) / (10 + t)).
        skip_norm: if given, a step whose gradient has a larger norm, or one that is not
            finite, leaves everything but the number of steps as it was, and the metric
            "skipped" is the share of such steps. A loss that is not finite is still
            seen in the metrics. Source: Child 2021, arXiv:2011.10650, section 4.
        axis_name: name of a mapped axis (`shard_map`, `pmap` or `vmap`) along which
            `step` is given other examples. Gradients, the model's state and metrics are
            averaged over it, each place draws noise of its own, and the next state is
            the same everywhere. An objective that compares the examples of a batch
            compares those of one place.

    Returns:
        A Trainer. Its functions raise, while they are traced and so at no cost to the
        compiled step, a ContractError if model, objective, hparams and x don't fit
        together. `init` raises a DataError if x holds values that the likelihood gives
        no probability (given numbers, that is: inside `jit` it can't see them).

    Raises:
        ContractError: model, objective, tx or schedule is of another kind.
        ConfigError: num_samples is not a count above 0, ema_decay is not in [0, 1), or
            skip_norm is not above 0.
    """
    arguments.check_objective_argument(objective)
    arguments.check_transformation(tx)
    arguments.check_schedule(schedule)
    require(COUNT, num_samples=num_samples)
    if ema_decay is not None:
        require(FRACTION, ema_decay=ema_decay)
    if skip_norm is not None:
        require(POSITIVE, skip_norm=skip_norm)
    objective = as_objective(objective)
    functions = stateful_model(model)
    if objective.splits_encoder and not functions.splits_encoder:
        functions = separate_encoder(functions)
    tx = with_extra_arguments(tx)
    if objective.optimizer is not None:
        tx = separately(tx, with_extra_arguments(objective.optimizer))

    def outputs(
        params: Params, model_state: ModelState, x: Examples, key: Key, hparams: Hparams
    ) -> tuple[Any, ModelState]:
        def apply(z_key: Key) -> tuple[Any, ModelState]:
            return functions.apply(params, model_state, x, z_key, hparams, True)

        return draw_samples(apply, x, key, num_samples)

    def init(key: Key, x: Examples) -> TrainState:
        arguments.check_one_key(key)
        arguments.check_examples(x)
        model_params, model_state = functions.init(key, x)
        one_draw, _ = jax.eval_shape(
            lambda p, s, x, k: functions.apply(p, s, x, k, any_number(), True),
            model_params,
            model_state,
            x,
            key,
        )
        check_output(one_draw, x)
        decoded = one_draw.decoder if isinstance(one_draw, SplitOutput) else one_draw
        check_support(decoded.likelihood, x)
        params = Learned(model_params, _own_params(objective, key, one_draw))
        ema = None if ema_decay is None else jax.tree.map(_begin_average, model_params)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            # Copies: some transformations keep the parameters as they begin, and to
            # donate a state that holds one buffer twice is an error.
            opt_state=jax.tree.map(jnp.copy, tx.init(params)),
            ema_params=ema,
            model_state=model_state,
        )

    def loss_and_state(
        params: Learned,
        x: Examples,
        key: Key,
        hparams: WatchedHparams,
        model_state: ModelState,
    ) -> tuple[Array, tuple[Metrics, ModelState]]:
        arguments.check_examples(x)
        arguments.check_batch_size(objective.min_batch_size, x)
        read = hparams.reader("the model")
        output, model_state = outputs(params.model, model_state, x, key, read)
        loss, metrics = check_objective(
            objective.apply(
                params.objective,
                output,
                x,
                hparams.reader("the objective"),
                stream(key, "objective"),
            )
        )
        return loss, (metrics, model_state)

    def loss(
        params: Learned,
        x: Examples,
        key: Key,
        hparams: Hparams,
        model_state: ModelState = None,
    ) -> tuple[Array, Metrics]:
        watched = watch(hparams)
        arguments.check_learned(params)
        arguments.check_one_key(key)
        state = {} if model_state is None else model_state
        value, (metrics, _) = loss_and_state(params, x, key, watched, state)
        return value, metrics

    def step(
        state: TrainState, x: Examples, key: Key, hparams: Hparams
    ) -> tuple[TrainState, Metrics]:
        arguments.check_one_key(key)
        z_key = jax.random.fold_in(key, state.step)
        if axis_name is not None:
            z_key = jax.random.fold_in(z_key, jax.lax.axis_index(axis_name))
        watched = watch(hparams)
        scheduled = schedule(state.step, watched.reader("the schedule"))
        now = watch(scheduled, watched.asked, "what the schedule returned")

        def of_params(params: Learned) -> tuple[Array, tuple[Metrics, ModelState]]:
            return loss_and_state(params, x, z_key, now, state.model_state)

        def value_fn(params: Learned, hparams: Hparams | None = None) -> Array:
            del hparams  # optax hands on what `update` was given, by name
            if axis_name is None:
                return of_params(params)[0]
            return averaged(lambda own: of_params(own)[0], axis_name)(params)

        gradient = jax.value_and_grad(of_params, has_aux=True)
        (loss, (metrics, model_state)), grads = gradient(state.params)
        if axis_name is not None:
            loss, metrics, model_state, grads = average(
                (loss, metrics, model_state, grads), axis_name
            )
        updates, opt_state = tx.update(
            grads,
            state.opt_state,
            state.params,
            value=loss,
            grad=grads,
            value_fn=value_fn,
            hparams=now.reader("the optimiser"),
        )
        check_all_read(hparams, watched.asked)
        params = optax.apply_updates(state.params, updates)
        ema_params = state.ema_params
        if ema_decay is not None:
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            ema_params = optax.incremental_update(params.model, ema_params, 1 - decay)
        next_state = TrainState(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            ema_params=ema_params,
            model_state=model_state,
        )
        measured = {"loss": loss, "grad_norm": euclidean_norm(grads)}
        if skip_norm is not None:
            skipped = ~(measured["grad_norm"] <= skip_norm)  # also where it is NaN
            next_state = _unless(skipped, next_state, state)
            measured["skipped"] = skipped.astype(jnp.float32)
        return next_state, {**measured, **metrics}

    return Trainer(init, step, loss)


def _begin_average(leaf: Array) -> Array:
    """A parameter as its average begins: float32, as 16 bits would not see it move."""
    # A copy: donating a state that holds one buffer twice is an error.
    return jnp.copy(in_float32(leaf))


def _unless(skipped: Array, new: TrainState, old: TrainState) -> TrainState:
    """The new state, or the old one, one step later."""
    kept = jax.tree.map(lambda a, b: jnp.where(skipped, b, a), new, old)
    return kept.replace(step=new.step)


def _own_params(objective: Objective, key: Key, one_draw: PyTree) -> Params:
    """The objective's parameters, made from the shapes of an output of one draw."""
    own_key = stream(key, "objective")

    def make() -> Params:
        zeros = jax.tree.map(lambda s: jnp.zeros((1, *s.shape), s.dtype), one_draw)
        return objective.init(own_key, zeros)

    # Most objectives have no parameters, and no output need be made for those.
    return make() if jax.tree.leaves(jax.eval_shape(make)) else {}
