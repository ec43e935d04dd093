"""Hamiltonian Monte Carlo on p(z) p(x | z)^beta, many chains side by side."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.types import Array, Key


class Point(NamedTuple):
    """Where C chains are, with the value and the slope of both factors there."""

    z: Array  # [C, D]
    log_prior: Array  # log p(z), nats, [C]
    prior_slope: Array  # its gradient, [C, D]
    log_lik: Array  # log p(x | z), nats, [C]
    lik_slope: Array  # [C, D]

    def log_density(self, beta: Array) -> Array:
        """log p(z) + beta log p(x | z), nats, [C]."""
        return self.log_prior + beta * self.log_lik

    def slope(self, beta: Array) -> Array:
        """Gradient of `log_density`, [C, D]."""
        return self.prior_slope + beta * self.lik_slope


At = Callable[[Array], Point]  # z [C, D] -> Point


def points(
    log_prior: Callable[[Array], Array], log_lik: Callable[[Array], Array]
) -> At:
    """The function that looks a place up: z [C, D] -> Point.

    Args:
        log_prior: z [C, D] -> log p(z), nats [C]; rows don't mix.
        log_lik: z [C, D] -> log p(x | z), nats [C], of one x; likewise.
    """

    def at(z: Array) -> Point:
        prior, to_prior = jax.vjp(log_prior, z)
        likelihood, to_lik = jax.vjp(log_lik, z)
        ones = jnp.ones_like(prior)
        (prior_slope,), (lik_slope,) = to_prior(ones), to_lik(ones)
        return Point(z, prior, prior_slope, likelihood, lik_slope)

    return at


def leapfrog(
    at: At, start: Point, velocity: Array, beta: Array, step_size: Array, num_steps: int
) -> tuple[Point, Array]:
    """Follows the Hamiltonian's motion: reversible, and it keeps volume.

    Each step is half a kick, a move and half a kick. Started at its end with the
    velocity turned round, it comes back.

    Args:
        at: from `points`.
        start: the points where the chains start.
        velocity: [C, D]; the mass is 1.
        beta: inverse temperature, a scalar.
        step_size: length of a step in time, a scalar.
        num_steps: number of leapfrog steps; each takes one gradient.

    Returns:
        The end and the velocity there. Source: Neal 2011, section 2.3.
    """

    def step(_: Array, moving: tuple[Point, Array]) -> tuple[Point, Array]:
        point, velocity = moving
        velocity = velocity + 0.5 * step_size * point.slope(beta)
        point = at(point.z + step_size * velocity)
        return point, velocity + 0.5 * step_size * point.slope(beta)

    return jax.lax.fori_loop(0, num_steps, step, (start, velocity))


def transition(
    at: At, start: Point, key: Key, beta: Array, step_size: Array, num_steps: int
) -> tuple[Point, Array]:
    """One move that leaves p(z) p(x | z)^beta as it is.

    Args:
        at: from `points`.
        start: the points where the chains start.
        key: random key for velocities and decisions.
        beta: inverse temperature, a scalar.
        step_size: length of a leapfrog step in time, a scalar.
        num_steps: number of leapfrog steps.

    Returns:
        The next point, and each chain's probability of acceptance, [C].
    """
    velocity_key, decision_key = jax.random.split(key)
    velocity = jax.random.normal(velocity_key, start.z.shape)
    end, last_velocity = leapfrog(at, start, velocity, beta, step_size, num_steps)
    gain = end.log_density(beta) - start.log_density(beta)
    gain = gain + 0.5 * ((velocity**2).sum(axis=1) - (last_velocity**2).sum(axis=1))
    # Too long a step can end in infinity, where the difference is no number.
    acceptance = jnp.where(jnp.isnan(gain), 0.0, jnp.exp(jnp.minimum(gain, 0.0)))
    accepted = jax.random.uniform(decision_key, gain.shape) < acceptance

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(accepted.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, end, start), acceptance
