"""Dense layers of arrays with more than two axes."""

import functools
from typing import Any

import flax.linen as nn
from jax import lax

from vae_jax.types import Array


def flat_product(x: Array, kernel: Array, dimensions: Any, **settings: Any) -> Array:
    """`lax.dot_general` of the last axis of x, which flattens x to a matrix before.

    The values are the same. On a CPU, XLA multiplies two matrices in the gradient as
    they are, but transposes arrays of more axes first.

    Args:
        x: [..., C].
        kernel: [C, F].
        dimensions: those of the product of the last axis of x and the first of kernel.
        **settings: further arguments of `lax.dot_general`.

    Returns:
        [..., F].

    Raises:
        ValueError: the dimensions are others.
    """
    if dimensions != (((x.ndim - 1,), (0,)), ((), ())):
        raise ValueError(f"flat_product does not support the dimensions {dimensions}")
    axes = (((1,), (0,)), ((), ()))
    y = lax.dot_general(x.reshape(-1, x.shape[-1]), kernel, axes, **settings)
    return y.reshape(*x.shape[:-1], kernel.shape[-1])


DenseOfMaps = functools.partial(nn.Dense, dot_general=flat_product)
"""`nn.Dense` for [B, H, W, C] or [B, T, C]: each place alone."""
