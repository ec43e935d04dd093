"""What training carries from step to step: arrays only."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from vae_jax.types import Array, Hparams, Params


@struct.dataclass
class TrainState:
    """A pytree of arrays: it can be donated, scanned, vmapped, sharded and saved.

    The optimiser is no part of it (as static metadata it would cause a new trace for
    each rebuilt optimiser), nor is a key: that of step t is folded from t.
    """

    step: Array  # [], int32, number of updates made
    params: Params
    opt_state: optax.OptState
    ema_params: Params | None = None  # running average of params, if asked for

    @property
    def eval_params(self) -> Params:
        """The averaged parameters where there are any, else the current ones."""
        return self.params if self.ema_params is None else self.ema_params


def make_hparams(**values: Any) -> Hparams:
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
        updates: Any, state: Any, params: Any = None, *, hparams: Hparams, **_: Any
    ) -> tuple[Any, Any]:
        return jax.tree.map(lambda u: -hparams[name] * u, updates), state

    return optax.GradientTransformationExtraArgs(init, update)
