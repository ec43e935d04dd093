"""Multilayer perceptrons: image -> features, code -> image features."""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from vae_jax.ranges import require_widths
from vae_jax.types import Array

Activation = Callable[[Array], Array]


class MLPEncoder(nn.Module):
    """Dense layers over the flattened input."""

    hidden_dims: Sequence[int] = (512, 256)
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None

    def __post_init__(self) -> None:
        require_widths(hidden_dims=self.hidden_dims)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [B, ...] -> [B, F]
        h = x.reshape(x.shape[0], -1)
        for width in self.hidden_dims:
            h = self.activation(nn.Dense(width, dtype=self.dtype)(h))
        return h


class MLPDecoder(nn.Module):
    """Dense layers from a code to `output_shape`, linear at the end.

    The output has the dtype of the code: with `dtype=bfloat16` log-likelihoods would
    otherwise be summed up with three digits.
    """

    output_shape: Sequence[int]  # without the batch axis, e.g. (H, W, F)
    hidden_dims: Sequence[int] = (256, 512)
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None

    def __post_init__(self) -> None:
        require_widths(hidden_dims=self.hidden_dims)
        super().__post_init__()

    @nn.compact
    def __call__(self, z: Array) -> Array:  # [B, ...] -> [B, *output_shape]
        h = z.reshape(z.shape[0], -1)
        for width in self.hidden_dims:
            h = self.activation(nn.Dense(width, dtype=self.dtype)(h))
        h = nn.Dense(math.prod(self.output_shape), dtype=self.dtype)(h)
        return h.reshape(z.shape[0], *self.output_shape).astype(z.dtype)
