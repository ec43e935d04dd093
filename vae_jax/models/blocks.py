"""What a top-down model is made of: the way up from an image, and a layer down."""

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Initializer

from vae_jax.distributions import DiagonalNormal, bound_log_std
from vae_jax.models.stack import Stack
from vae_jax.networks.bottleneck import Bottleneck, conv3x3
from vae_jax.networks.convolution import space_to_depth
from vae_jax.networks.dense import DenseOfMaps
from vae_jax.types import Activation, Array


class BottomUp(nn.Module):
    """An image -> features at each resolution of a stack.

    A strided convolution, then at each resolution as many residual blocks as the stack
    has there, with averages of pixels in between.
    """

    stack: Stack
    width: int
    hidden: int  # channels inside a block
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:  # [B, S, S, C] -> [B, r, r, width]
        """The features of each group, from the top."""
        stride = x.shape[1] // self.stack[-1][0]
        h = conv3x3(self.width, self.dtype)(space_to_depth(x, (stride, stride)))
        h = h.astype(jnp.float32)
        last_init = _scaled(sum(count for _, count in self.stack))
        found = []
        for resolution, count in reversed(self.stack):
            h = _averaged(h, h.shape[1] // resolution)
            for _ in range(count):
                block = Bottleneck(
                    self.width, self.hidden, last_init, self.activation, self.dtype
                )
                h = h + block(h)
            found.append(h)
        return found[::-1]


class TopDownBlock(nn.Module):
    """One latent layer z [B, r, r, C] on the way down, and what it adds to features.

    The posterior is that of the prior, moved: mean and log standard deviation are sums.
    What moves it starts at zero, and so does the divergence of the two.
    Sources: Child 2021, arXiv:2011.10650, figure 3; Vahdat and Kautz 2020,
    arXiv:2007.03898, section 3.2 (the residual posterior).
    """

    width: int
    hidden: int  # channels inside its networks
    latent_dim: int  # C
    num_blocks: int  # of the whole model: the more, the less each one adds at the start
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None

    def setup(self) -> None:
        def network(features: int, last_init: Initializer) -> Bottleneck:
            return Bottleneck(
                features, self.hidden, last_init, self.activation, self.dtype
            )

        small, zeros = _scaled(self.num_blocks), nn.initializers.zeros
        self.to_prior = network(2 * self.latent_dim + self.width, zeros)
        self.to_shift = network(2 * self.latent_dim, zeros)
        self.from_z = DenseOfMaps(self.width, dtype=self.dtype, kernel_init=small)
        self.refine = network(self.width, small)

    def prior(self, h: Array) -> tuple[Array, Array]:
        """Moments of p(z | above), see `normal`, and what it adds to the features."""
        both = self.to_prior(h)
        return both[..., : -self.width], both[..., -self.width :]

    def posterior(self, h: Array, prior: Array, seen: Array) -> DiagonalNormal:
        """q(z | x, above).

        Args:
            h: features from above, [B, r, r, width].
            prior: moments of the prior.
            seen: features of x at this resolution, [B, r, r, width].
        """
        return normal(prior + self.to_shift(jnp.concatenate([h, seen], axis=-1)))

    def update(self, h: Array, added: Array, z: Array) -> Array:
        """The features below: from above, of the prior and of z, [B, r, r, width].

        Args:
            h: features from above.
            added: what the prior adds to them.
            z: a code of this layer.
        """
        h = h + added + self.from_z(z).astype(jnp.float32)
        return h + self.refine(h)


def normal(moments: Array) -> DiagonalNormal:
    """Moments [..., 2 C] -> a normal with that mean and, bounded, log std [..., C]."""
    mean, raw = jnp.split(moments, 2, axis=-1)
    return DiagonalNormal(mean=mean, log_std=bound_log_std(raw))


def upsampled(h: Array, factor: int) -> Array:
    """Repeats each pixel along both axes: [B, H, W, C] -> [B, f H, f W, C]."""
    return h.repeat(factor, axis=1).repeat(factor, axis=2)


def _averaged(h: Array, factor: int) -> Array:
    """Means of blocks of pixels: [B, H, W, C] -> [B, H / f, W / f, C]."""
    if factor == 1:
        return h
    batch, height, width, channels = h.shape
    blocks = (batch, height // factor, factor, width // factor, factor, channels)
    return h.reshape(blocks).mean(axis=(2, 4))


def _scaled(num_blocks: int) -> Initializer:
    """LeCun's initial kernel times sqrt(1 / n), so that a sum of n is no larger."""
    return nn.initializers.variance_scaling(
        1 / num_blocks, "fan_in", "truncated_normal"
    )
