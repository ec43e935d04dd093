"""Flax modules that turn images into features and codes into image features.

`BY_NAME` holds the networks that a config can name; a module of your own adds a line to
it.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from vae_jax.networks.conv import ConvDecoder, ConvEncoder
from vae_jax.networks.gated import GatedMLPDecoder, GatedMLPEncoder
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.networks.residual import ResidualDecoder, ResidualEncoder
from vae_jax.types import Activation


class Network(NamedTuple):
    """The constructors of both halves, which take arguments of the same names.

    A config gives a sequence, such as the widths of layers, from the data to the code;
    the decoder gets it the other way round, and also an `output_shape`.
    """

    # of a module x [B, ...] -> features [B, F]; [B, h, w, F] with `spatial`
    encoder: Callable[..., nn.Module]
    decoder: Callable[..., nn.Module]  # of a module z [B, ...] -> [B, *output_shape]


ACTIVATIONS: dict[str, Activation] = {
    "gelu": nn.gelu,
    "relu": nn.relu,
    "leaky_relu": nn.leaky_relu,
    "tanh": nn.tanh,
    "silu": nn.silu,
    "elu": nn.elu,
    "softplus": nn.softplus,
}
"""Activations between layers, for networks with an argument `activation`."""

DTYPES: dict[str, DTypeLike | None] = {"float32": None, "bfloat16": jnp.bfloat16}
"""Number types in which networks compute. Everything else is float32."""

BY_NAME: dict[str, Network] = {
    "mlp": Network(MLPEncoder, MLPDecoder),
    "gated": Network(GatedMLPEncoder, GatedMLPDecoder),
    "conv": Network(ConvEncoder, ConvDecoder),
    "residual": Network(ResidualEncoder, ResidualDecoder),
}
"""The networks by the names that a config calls them."""
