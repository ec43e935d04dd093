"""Residual convolutional networks, for images of 28 to 128 pixels a side or so."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from vae_jax.errors import ConfigError
from vae_jax.networks.conv import MAX_HALVINGS, UpConv
from vae_jax.networks.convolution import Conv
from vae_jax.ranges import COUNT, COUNT_OR_0, require, require_widths
from vae_jax.types import Activation, Array

GROUPS = 8  # of channels that are normalised together, at most
LEAST = 4  # channels in a group: one number alone would be normalised to 0


class ResidualBlock(nn.Module):
    """h + conv(act(norm(conv(act(norm(h)))))), with two 3x3 convolutions.

    It starts as the identity. Normalised are groups of channels of one image (Wu and He
    2018, arXiv:1803.08494), so that examples do not depend on one another. Source: He
    et al. 2016, arXiv:1603.05027.
    """

    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, h: Array) -> Array:  # [B, H, W, C] -> [B, H, W, C]
        start = h
        for init in (nn.initializers.lecun_normal(), nn.initializers.zeros):
            h = self.activation(normalize(h, self.dtype))
            conv = Conv(
                features=h.shape[-1],
                kernel_size=(3, 3),
                kernel_init=init,
                dtype=self.dtype,
            )
            h = conv(h)
        return start + h


class SelfAttention(nn.Module):
    """h + a mixture of the values at all places, with one head; starts as the identity.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
    """

    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, h: Array) -> Array:  # [B, H, W, C] -> [B, H, W, C]
        places = normalize(h, self.dtype).reshape(h.shape[0], -1, h.shape[-1])
        attention = nn.MultiHeadDotProductAttention(
            num_heads=1,
            dtype=self.dtype,
            out_kernel_init=nn.initializers.zeros,
            deterministic=True,
        )
        return h + attention(places).reshape(h.shape)


class ResidualEncoder(nn.Module):
    """4x4 convolutions with stride 2, each followed by some residual blocks.

    Each stride halves height and width, rounding up. At the end the features of all
    places go through one dense layer or, with `spatial`, stay where they are: the code
    then has a site at each place, 7 x 7 of them for images of 28 x 28 and two strides.
    Of the priors here, `UniformPrior` takes such codes.
    """

    channels: Sequence[int] = (64, 128)
    num_blocks: Sequence[int] = (2, 2)
    hidden_dim: int = 256
    attention: bool = False
    spatial: bool = False
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None

    def __post_init__(self) -> None:
        check_sizes(self.channels, self.num_blocks, self.hidden_dim)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [B, H, W, C] -> [B, F] or [B, h, w, F]
        h = x
        for width, count in zip(self.channels, self.num_blocks, strict=True):
            conv = Conv(
                features=width,
                kernel_size=(4, 4),
                strides=(2, 2),
                dtype=self.dtype,
            )
            h = conv(h)
            for _ in range(count):
                h = ResidualBlock(self.activation, self.dtype)(h)
        if self.attention:
            h = SelfAttention(self.dtype)(h)
        h = self.activation(normalize(h, self.dtype))
        if self.spatial:
            return h
        h = h.reshape(h.shape[0], -1)
        return self.activation(nn.Dense(self.hidden_dim, dtype=self.dtype)(h))


class ResidualDecoder(nn.Module):
    """The mirror image: residual blocks of each size of image, then an `UpConv`.

    `channels` and `num_blocks` are in the order of the decoder, from the code to the
    image, e.g. (128, 64). What the last layer
    gives beyond `output_shape` is cut off. The output has the dtype of the code.
    """

    output_shape: Sequence[int]  # (H, W, F)
    channels: Sequence[int] = (128, 64)
    num_blocks: Sequence[int] = (2, 2)
    hidden_dim: int = 256
    attention: bool = False
    spatial: bool = False
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None

    def __post_init__(self) -> None:
        check_sizes(self.channels, self.num_blocks, self.hidden_dim)
        super().__post_init__()

    @nn.compact
    def __call__(self, z: Array) -> Array:  # [B, ...] or [B, h, w, d] -> [B, H, W, F]
        height, width, features = self.output_shape
        h = self._at_places(z)
        if self.attention:
            h = SelfAttention(self.dtype)(h)
        depths = (*self.channels[1:], features)
        for depth, count in zip(depths, self.num_blocks, strict=True):
            for _ in range(count):
                h = ResidualBlock(self.activation, self.dtype)(h)
            h = self.activation(normalize(h, self.dtype))
            h = UpConv(depth, dtype=self.dtype)(h)
        return h[:, :height, :width, :].astype(z.dtype)

    def _at_places(self, z: Array) -> Array:
        """Features at the lowest resolution, [B, h, w, channels[0]]."""
        first = self.channels[0]
        if self.spatial:
            return nn.Dense(first, dtype=self.dtype)(z)
        factor = 2 ** len(self.channels)
        small = [-(-side // factor) for side in self.output_shape[:2]]
        h = z.reshape(z.shape[0], -1)
        h = self.activation(nn.Dense(self.hidden_dim, dtype=self.dtype)(h))
        h = nn.Dense(math.prod(small) * first, dtype=self.dtype)(h)
        return h.reshape(z.shape[0], *small, first)


def normalize(h: Array, dtype: jnp.dtype | None) -> Array:
    """A layer of group normalisation, for use inside a module's `__call__`."""
    channels = h.shape[-1]
    groups = math.gcd(channels, max(1, min(GROUPS, channels // LEAST)))
    return nn.GroupNorm(num_groups=groups, dtype=dtype)(h)


def check_sizes(
    channels: Sequence[int], num_blocks: Sequence[int], hidden_dim: int
) -> None:
    """Raises unless there are a width and a number of blocks for each size of image.

    Raises:
        ConfigError: one is no whole number, or there are more of the ones than of the
            others.
    """
    require_widths(least=1, most=MAX_HALVINGS, channels=channels)
    require(COUNT, hidden_dim=hidden_dim)
    is_sequence = isinstance(num_blocks, tuple | list)
    fits = is_sequence and len(num_blocks) == len(channels)
    if not fits or not all(map(COUNT_OR_0.contains, num_blocks)):
        raise ConfigError(
            f"num_blocks={num_blocks!r}: must be a whole number, or 0, for each of the"
            f" {len(channels)} channels={channels!r}"
        )
