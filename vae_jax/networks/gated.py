"""Gated multilayer perceptrons: linear layers times a sigmoid of other linear layers.

Source: Tomczak and Welling 2018, arXiv:1705.07120, section 5, after Dauphin et al.
2017, arXiv:1612.08083.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from vae_jax.ranges import require_widths
from vae_jax.types import Array

# He initialisation as in the authors' code: a normal that is not cut off.
HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class GatedDense(nn.Module):
    """(W h + b) * sigmoid(V h + c)."""

    features: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, h: Array) -> Array:  # [B, F] -> [B, features]
        def dense(name: str) -> nn.Dense:
            return nn.Dense(
                self.features, dtype=self.dtype, kernel_init=HE_NORMAL, name=name
            )

        return dense("value")(h) * nn.sigmoid(dense("gate")(h))


class GatedMLPEncoder(nn.Module):
    """Gated layers over the flattened input."""

    hidden_dims: Sequence[int] = (300, 300)
    dtype: jnp.dtype | None = None

    def __post_init__(self) -> None:
        require_widths(hidden_dims=self.hidden_dims)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [B, ...] -> [B, F]
        h = x.reshape(x.shape[0], -1)
        for width in self.hidden_dims:
            h = GatedDense(width, self.dtype)(h)
        return h


class GatedMLPDecoder(nn.Module):
    """Gated layers from a code to `output_shape`, linear at the end.

    The output has the dtype of the code.
    """

    output_shape: Sequence[int]  # without the batch axis, e.g. (H, W, F)
    hidden_dims: Sequence[int] = (300, 300)
    dtype: jnp.dtype | None = None

    def __post_init__(self) -> None:
        require_widths(hidden_dims=self.hidden_dims)
        super().__post_init__()

    @nn.compact
    def __call__(self, z: Array) -> Array:  # [B, ...] -> [B, *output_shape]
        h = z.reshape(z.shape[0], -1)
        for width in self.hidden_dims:
            h = GatedDense(width, self.dtype)(h)
        size = math.prod(self.output_shape)
        h = nn.Dense(size, dtype=self.dtype, kernel_init=HE_NORMAL)(h)
        return h.reshape(z.shape[0], *self.output_shape).astype(z.dtype)
