"""Means over a mapped axis, along which a step is given other examples."""

from collections.abc import Callable
from typing import TypeVar

import jax

from vae_jax.training.state import Learned
from vae_jax.types import Array

Tree = TypeVar("Tree")  # a pytree of arrays


def average(tree: Tree, axis_name: str) -> Tree:
    """The mean over a mapped axis; numbers of steps and the like stay whole.

    Args:
        tree: pytree of arrays.
        axis_name: name of the axis.
    """
    return jax.tree.map(lambda v: jax.lax.pmean(v, axis_name).astype(v.dtype), tree)


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
