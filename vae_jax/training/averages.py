"""Means over a mapped axis, along which a step is given other examples."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from vae_jax.training.state import Learned
from vae_jax.types import Array

Tree = TypeVar("Tree")  # a pytree of arrays


def average(tree: Tree, axis_name: str) -> Tree:
    """The mean over a mapped axis; of what is no real number, that of its first place.

    Such as numbers of steps and random keys, which are the same at every place.

    Args:
        tree: pytree of arrays.
        axis_name: name of the axis.
    """
    is_first = jax.lax.axis_index(axis_name) == 0

    def first(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = first(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        # Exact: all but one of the numbers are 0.
        own = jnp.where(is_first, leaf, jnp.zeros_like(leaf))
        own = own.astype(jnp.int32) if leaf.dtype == bool else own
        return jax.lax.psum(own, axis_name).astype(leaf.dtype)

    def of_all(leaf: Array) -> Array:
        leaf = jnp.asarray(leaf)  # a metric may be a number of Python
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return first(leaf)
        return jax.lax.pmean(leaf, axis_name).astype(leaf.dtype)

    return jax.tree.map(of_all, tree)


def averaged(
    function: Callable[[Learned], Array], axis_name: str
) -> Callable[[Learned], Array]:
    """A loss whose value and gradient are means over a mapped axis.

    JAX's own gradient of a mean over the axis is that of the examples of one place.

    Args:
        function: parameters -> loss of the examples of this place, [].
        axis_name: name of the axis.
    """

    @jax.custom_vjp
    def mean(params: Learned) -> Array:
        return average(function(params), axis_name)

    def forward(params: Learned) -> tuple[Array, Learned]:
        return average(jax.value_and_grad(function)(params), axis_name)

    def backward(gradient: Learned, factor: Array) -> tuple[Learned]:
        return (jax.tree.map(lambda leaf: leaf * factor, gradient),)

    mean.defvjp(forward, backward)
    return mean
