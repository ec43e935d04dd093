"""What a checkpoint holds: the state, and the best parameters by validation so far."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.examples import abstract_x, inputs
from vae_jax.data.spec import DataSpec
from vae_jax.training.mesh import fetch
from vae_jax.training.state import TrainState, Variables
from vae_jax.training.step import Trainer
from vae_jax.types import Array, Examples, Key, Params


@struct.dataclass
class Best:
    """Best parameters so far, of one run or of each of M members of a program."""

    variables: Params | Variables  # of the model, [...] or [M, ...]
    elbo: Array  # of the validation split, nats, [] or [M]
    step: Array  # number of updates made by then, int32, [] or [M]
    since: Array  # evaluations since then, int32, [] or [M]

    def has_stopped(self, patience: int) -> Array:
        """Whether `patience` evaluations brought no improvement; never if it is 0."""
        return (self.since >= patience) & (patience > 0)


@struct.dataclass
class Saved:
    """Content of a checkpoint of one run, or of the members of a program."""

    state: TrainState
    best: Best | None = None  # if the config keeps it

    @classmethod
    def new(cls, state: TrainState, keeps_best: bool) -> "Saved":
        """That of a new state, which is the best before the first evaluation."""
        if not keeps_best:
            return cls(state)
        zeros = jnp.zeros_like(state.step)
        best = Best(
            # A copy: donating the state must leave these alone.
            variables=jax.tree.map(jnp.copy, state.eval_variables),
            elbo=jnp.full(zeros.shape, -jnp.inf, jnp.float32),
            step=zeros,
            since=zeros,
        )
        return cls(state, best)

    @property
    def variables(self) -> Params | Variables:
        """What to evaluate and use: the best parameters if they were kept.

        Those of a model with a state come together with it.
        """
        return self.state.eval_variables if self.best is None else self.best.variables

    @property
    def step(self) -> Array:
        """The number of updates after which `variables` were what they are."""
        return self.state.step if self.best is None else self.best.step


def abstract_saved(config: ConfigDict, spec: DataSpec) -> Saved:
    """Shapes and dtypes of what a checkpoint of this config holds.

    Args:
        config: all fields of configs/default.py.
        spec: form of the data.

    Returns:
        A `Saved` of shapes.
    """
    parts = build.make_parts(config, spec)
    x = abstract_x(spec, inputs(parts["model"]), 1)
    return abstract_saved_by(build.make_trainer(config, parts), config, x)


def abstract_saved_by(trainer: Trainer, config: ConfigDict, x: Examples) -> Saved:
    """`abstract_saved` of a trainer that is there already.

    Args:
        trainer: trainer of this config.
        config: all fields of configs/default.py.
        x: shapes of one example.

    Returns:
        A `Saved` of shapes.
    """
    init = jax.jit(trainer.init)  # `begin` asks for the same function: traced once

    def begin(key: Key, x: Examples) -> Saved:
        return Saved.new(init(key, x), build.keeps_best(config))

    return jax.eval_shape(begin, build.run_key(config), x)


@jax.jit
def updated(best: Best, state: TrainState, elbo: Array, patience: int) -> Best:
    """The best after another evaluation.

    A member that has stopped keeps what it has, so it ends as a run of its own would.

    Args:
        best: before it.
        state: the state that was evaluated.
        elbo: ELBO of the validation split, nats, [] or [M]; NaN is never better.
        patience: see `Best.has_stopped`.

    Returns:
        The better of both, member by member.
    """
    stopped = best.has_stopped(patience)
    better = (elbo > best.elbo) & ~stopped

    def choose(new: Array, old: Array) -> Array:
        axes = tuple(range(better.ndim, new.ndim))
        return jnp.where(jnp.expand_dims(better, axes), new, old)

    return Best(
        variables=jax.tree.map(choose, state.eval_variables, best.variables),
        elbo=choose(elbo, best.elbo),
        step=choose(state.step, best.step),
        since=jnp.where(better, 0, best.since + ~stopped),
    )


def stopped_members(best: Best | None, patience: int) -> frozenset[int]:
    """Numbers of the members that have stopped, see `Best.has_stopped`; blocks."""
    if best is None or not patience:
        return frozenset()
    return frozenset(np.flatnonzero(fetch(best.has_stopped(patience))).tolist())
