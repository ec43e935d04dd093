"""Euclidean norms of gradients, at the speed of memory on a CPU, too."""

import jax
import jax.numpy as jnp
from jax import lax

from vae_jax.distributions.base import in_float32
from vae_jax.types import Array, PyTree


def euclidean_norm(tree: PyTree) -> Array:
    """The root of the sum of the squares of all numbers in a pytree of arrays, []."""
    leaves = map(in_float32, jax.tree.leaves(tree))  # 16 bits hold no such sums
    return jnp.sqrt(sum(map(_sum_of_squares, leaves)))


def _sum_of_squares(array: Array) -> Array:
    """The sum of |a|^2, [].

    A CPU adds up a vector in order, each number waiting for the sum before it, and a
    product of a matrix and a vector for many rows at a time: for the gradients of a
    small network that is a part of the step worth having.
    """
    if array.ndim < 2:
        return _at_once(array)
    return lax.platform_dependent(array, cpu=_by_rows, default=_at_once)


def _by_rows(array: Array) -> Array:
    squares = jnp.square(jnp.abs(array)).reshape(-1, array.shape[-1])
    return (squares @ jnp.ones(array.shape[-1], squares.dtype)).sum()


def _at_once(array: Array) -> Array:
    return jnp.vdot(array, array).real
