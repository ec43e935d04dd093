"""Multilayer perceptrons: image -> features, code -> image features."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from vae_jax.errors import choose
from vae_jax.ranges import require_widths
from vae_jax.types import Activation, Array

NORMS = ("none", "layer", "batch")
"""What may stand between a dense layer and its activation: nothing; `layer`, over the
features of an example (Ba et al. 2016, arXiv:1607.06450); or `batch`, over the batch
and, in evaluation, with running averages, which are state of the model (Ioffe and
Szegedy 2015, arXiv:1502.03167)."""


class MLPEncoder(nn.Module):
    """Dense layers over the flattened input."""

    hidden_dims: Sequence[int] = (512, 256)
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None
    norm: str = "none"

    def __post_init__(self) -> None:
        require_widths(hidden_dims=self.hidden_dims)
        choose(NORMS, "norm", self.norm)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:  # [B, ...] -> [B, F]
        return _dense_layers(self, x.reshape(x.shape[0], -1), train)


class MLPDecoder(nn.Module):
    """Dense layers from a code to `output_shape`, linear at the end.

    The output has the dtype of the code: with `dtype=bfloat16` log-likelihoods would
    otherwise be summed up with three digits.
    """

    output_shape: Sequence[int]  # without the batch axis, e.g. (H, W, F)
    hidden_dims: Sequence[int] = (256, 512)
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None
    norm: str = "none"

    def __post_init__(self) -> None:
        require_widths(hidden_dims=self.hidden_dims)
        choose(NORMS, "norm", self.norm)
        super().__post_init__()

    @nn.compact
    def __call__(self, z: Array, train: bool = False) -> Array:
        """z [B, ...] -> [B, *output_shape]."""
        h = _dense_layers(self, z.reshape(z.shape[0], -1), train)
        h = nn.Dense(math.prod(self.output_shape), dtype=self.dtype)(h)
        return h.reshape(z.shape[0], *self.output_shape).astype(z.dtype)


def _dense_layers(network: "MLPEncoder | MLPDecoder", h: Array, train: bool) -> Array:
    """The hidden layers, which become submodules of the network, [B, F] -> [B, F']."""
    for width in network.hidden_dims:
        h = nn.Dense(width, dtype=network.dtype)(h)
        if network.norm == "layer":
            h = nn.LayerNorm(dtype=network.dtype)(h)
        elif network.norm == "batch":
            h = nn.BatchNorm(use_running_average=not train, dtype=network.dtype)(h)
        h = network.activation(h)
    return h
