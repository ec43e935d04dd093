"""Convolutions through few channels: the blocks of deep convolutional models."""

import functools

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Initializer

from vae_jax.networks.convolution import Conv
from vae_jax.networks.dense import DenseOfMaps
from vae_jax.types import Activation, Array

SMALL = 2  # pixels: a 3x3 window over no more of them sees mostly the padding


class Bottleneck(nn.Module):
    """1x1, 3x3, 3x3 and 1x1 convolutions, each after an activation.

    All but the last have `hidden` channels; on maps of at most 2x2 pixels the 3x3 ones
    are 1x1 as well. The layers compute in `dtype`, and what they give is float32.
    Source: Child 2021, arXiv:2011.10650, section 3.2.
    """

    features: int
    hidden: int
    last_init: Initializer = nn.initializers.lecun_normal()  # of the last kernel
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, h: Array) -> Array:  # [B, H, W, C] -> [B, H, W, features]
        is_small = max(h.shape[1:3]) <= SMALL
        dense = functools.partial(DenseOfMaps, dtype=self.dtype)
        window = dense if is_small else functools.partial(conv3x3, dtype=self.dtype)
        for layer in (dense, window, window):
            h = layer(self.hidden)(self.activation(h))
        h = dense(self.features, kernel_init=self.last_init)(self.activation(h))
        return h.astype(jnp.float32)


def conv3x3(features: int, dtype: jnp.dtype | None = None) -> nn.Conv:
    """A 3x3 convolution that keeps height and width."""
    return Conv(features, (3, 3), dtype=dtype)
