"""Chains from the prior to the posterior of one image, and back.

They go through f_t(z) = p(z) p(x | z)^beta_t with 0 = beta_0 < ... < beta_T = 1. With
z_0 ~ p(z), and z_t from z_{t-1} by a transition of Hamiltonian Monte Carlo that leaves
f_t as it is,

    log w = sum_{t=1}^T (beta_t - beta_{t-1}) log p(x | z_{t-1}),    E[w] = p(x)

(Neal 2001). From a draw of p(z | x) the same chain run backwards has
E[1 / w] = 1 / p(x) (Grosse et al. 2015).

A chain that tuned its own step size would break both equations. Here a few pilot chains
beside those of an image tune the size for them, and the chains that go backwards take
each transition with the size of the way forwards: both equations hold exactly.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.errors import choose
from vae_jax.evaluation import hmc, joined
from vae_jax.ranges import COUNT, require
from vae_jax.trained import Trained
from vae_jax.types import Array, Codes, Examples, Key

Step = tuple[Array, Array, Array]  # its number, beta, and how much that has risen

NUM_PILOTS = 4
FIRST_STEP_SIZE = 0.1
ACCEPTANCE = 0.65  # that the pilots aim at, as in the code of Wu et al. 2017
GAIN = 0.1  # of the log step size, per transition and unit of acceptance
SIGMOID_WIDTH = 4.0  # as in that code


@dataclasses.dataclass(frozen=True)
class Annealing:
    """How finely and how often to anneal.

    Attributes:
        num_temperatures: T; Wu et al. take 10,000.
        num_chains: per image.
        num_leapfrog: leapfrog steps of a transition, each of which costs a gradient.
        schedule: "sigmoid", slow near 0 and near 1, or "linear".
    """

    num_temperatures: int = 1000
    num_chains: int = 16
    num_leapfrog: int = 10
    schedule: Literal["sigmoid", "linear"] = "sigmoid"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name in ("num_temperatures", "num_chains", "num_leapfrog"):
            require(COUNT, **{name: getattr(self, name)})
        choose(("sigmoid", "linear"), "schedule", self.schedule)

    def betas(self) -> np.ndarray:
        """beta_0 = 0, ..., beta_T = 1: [T + 1]."""
        ramp = np.linspace(0.0, 1.0, self.num_temperatures + 1)
        if self.schedule == "linear":
            return ramp
        sigmoid = 1 / (1 + np.exp(-SIGMOID_WIDTH * (2 * ramp - 1)))
        return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])


class CodeSpace:
    """The codes of all layers side by side: p(z) p(x | z) of one image on arrays."""

    def __init__(self, trained: Trained, x: Examples, rows: int) -> None:
        """Computes what does not change from one transition to the next.

        Args:
            trained: a model with its parameters.
            x: one example, [...], as the model takes it but without an axis B.
            rows: number of chains C.
        """
        self._trained = trained
        self._x = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (rows, *leaf.shape)), x
        )
        self._given = trained.given(self._x)
        self._prior = trained.prior(rows, self._given)
        codes = jax.eval_shape(self._prior.sample, jax.random.key(0))
        self._shapes = joined.shapes_of(codes)

    def sample(self, key: Key) -> Array:
        """Draws from p(z), [C, D]."""
        return joined.join(self._prior.sample(key))

    def log_prob(self, x: Array) -> Array:
        """log p(z), nats, [C]."""
        return self._prior.log_prob(joined.split(x, self._shapes))

    def log_lik(self, z: Array) -> Array:
        """log p(x | z), nats, [C]."""
        codes = joined.split(z, self._shapes)
        return self._trained.decode(codes, self._given).log_prob(self._x)


def forward_chains(
    trained: Trained, x: Examples, key: Key, annealing: Annealing
) -> dict[str, Array]:
    """Anneals the chains of one image from the prior to the posterior.

    Args:
        trained: a model with its parameters: p(z) and p(x | z).
        x: one example, [...].
        key: random key for the chains.
        annealing: T temperatures, C chains.

    Returns:
        `log_w` [C], `step_sizes` [T] of the transitions, `acceptance` [].
    """
    chains = annealing.num_chains
    space = CodeSpace(trained, x, chains + NUM_PILOTS)
    at = hmc.points(space.log_prob, space.log_lik)
    start_key, chain_key = jax.random.split(key)

    def anneal(
        carry: tuple[hmc.Point, Array, Array], step: Step
    ) -> tuple[tuple[hmc.Point, Array, Array], tuple[Array, Array]]:
        point, log_w, log_size = carry
        number, beta, rise = step
        log_w = log_w + rise * point.log_lik
        size = jnp.exp(log_size)
        step_key = jax.random.fold_in(chain_key, number)
        point, acceptance = hmc.transition(
            at, point, step_key, beta, size, annealing.num_leapfrog
        )
        log_size = log_size + GAIN * (acceptance[chains:].mean() - ACCEPTANCE)
        return (point, log_w, log_size), (size, acceptance[:chains].mean())

    start = at(space.sample(start_key))
    carry = (start, jnp.zeros_like(start.log_lik), jnp.log(FIRST_STEP_SIZE))
    (_, log_w, _), (sizes, acceptance) = jax.lax.scan(anneal, carry, _steps(annealing))
    acceptance = acceptance.mean()
    return {"log_w": log_w[:chains], "step_sizes": sizes, "acceptance": acceptance}


def backward_chains(
    trained: Trained,
    x: Examples,
    codes: Codes,
    step_sizes: Array,
    key: Key,
    annealing: Annealing,
) -> Array:
    """Takes the chains of one image from an exact posterior draw to the prior.

    Args:
        trained: a model with its parameters: p(z) and p(x | z).
        x: one example, [...].
        codes: a draw of p(z | x), [1, ...] per layer, where all chains start.
        step_sizes: the step sizes that `forward_chains` found on this image, [T].
        key: random key for the chains.
        annealing: the same as forwards.

    Returns:
        log w [C], nats, with E[1 / w] = 1 / p(x).
    """
    space = CodeSpace(trained, x, annealing.num_chains)
    at = hmc.points(space.log_prob, space.log_lik)

    def step_back(
        carry: tuple[hmc.Point, Array], step: tuple[Step, Array]
    ) -> tuple[tuple[hmc.Point, Array], None]:
        point, log_w = carry
        (number, beta, rise), size = step
        step_key = jax.random.fold_in(key, number)
        point, _ = hmc.transition(
            at, point, step_key, beta, size, annealing.num_leapfrog
        )
        return (point, log_w + rise * point.log_lik), None

    z = joined.join(codes)
    start = at(jnp.broadcast_to(z, (annealing.num_chains, z.shape[1])))
    (_, log_w), _ = jax.lax.scan(
        step_back,
        (start, jnp.zeros_like(start.log_lik)),
        (_steps(annealing), step_sizes),
        reverse=True,
    )
    return log_w


def _steps(annealing: Annealing) -> Step:
    """Number, beta and rise of beta of each transition, [T] each."""
    betas = annealing.betas()
    numbers = jnp.arange(annealing.num_temperatures)
    return numbers, jnp.float32(betas[1:]), jnp.float32(np.diff(betas))
