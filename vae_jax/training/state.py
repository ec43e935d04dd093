"""The state of training, carried from step to step: arrays only."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.typing import ArrayLike

from vae_jax.types import Array, Hparams, ModelState, Params


@struct.dataclass
class Learned:
    """All that the optimiser changes: what a training step differentiates by.

    The field names serve as labels for `optax.multi_transform`, as in
    `optax.multi_transform({"m": adam, "o": sgd}, Learned(model="m", objective="o"))`.
    """

    model: Params
    objective: Params  # of an objective with a network of its own; {} for all others


@struct.dataclass
class Variables:
    """Parameters and state with which a model is evaluated."""

    params: Params
    model_state: ModelState

    @classmethod
    def joined(cls, params: Params, model_state: ModelState) -> "Params | Variables":
        """Both in one object, or the parameters alone where there is no state."""
        return cls(params, model_state) if jax.tree.leaves(model_state) else params


@struct.dataclass
class TrainState:
    """A pytree of arrays: it can be donated, scanned, vmapped, sharded and saved.

    It does not hold the optimiser, which as static metadata would cause a new trace
    whenever it is rebuilt, nor a key: that of step t is folded from t.
    """

    step: Array  # [], int32, number of updates made
    params: Learned
    opt_state: optax.OptState
    ema_params: Params | None = None  # running average of params.model, if any
    # What a model keeps beside its parameters (batch averages, codebooks); {} for most.
    model_state: ModelState = struct.field(default_factory=dict)

    @property
    def eval_params(self) -> Params:
        """The model's averaged parameters if there are any, else the current ones."""
        return self.params.model if self.ema_params is None else self.ema_params

    @property
    def eval_variables(self) -> Params | Variables:
        """`eval_params`, together with the model's state where it has one."""
        return Variables.joined(self.eval_params, self.model_state)


def make_hparams(**values: ArrayLike | Sequence[float]) -> Hparams:
    """Traced hyperparameters as float32 arrays, for example of kl_weight=4.

    A Python float would be traced again once, as a weakly typed number.
    """
    return {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}


def scale_by_hparam(name: str = "learning_rate") -> optax.GradientTransformation:
    """Multiplies updates by minus `hparams[name]`: a learning rate that is traced.

    The last link of an optax chain, in the place of `optax.scale_by_learning_rate`.

    Args:
        name: key in the hparams given to the step.

    Returns:
        A transformation that expects `update(..., hparams=hparams)`, which the step of
        `vae_trainer` passes.
    """

    def init(params: Params) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        hparams: Hparams,
        **_: object,
    ) -> tuple[optax.Updates, optax.OptState]:
        return jax.tree.map(lambda u: -hparams[name] * u, updates), state

    return optax.GradientTransformationExtraArgs(init, update)
