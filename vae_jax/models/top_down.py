"""The convolutional top-down variational autoencoder: latent maps of many sizes."""

import functools
from collections.abc import Callable, Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.distributions.base import Distribution
from vae_jax.distributions.normal import DiagonalNormal
from vae_jax.errors import ContractError
from vae_jax.models.base import as_codes, check_above, check_layers, refuse_given
from vae_jax.models.blocks import BottomUp, TopDownBlock, normal, upsampled
from vae_jax.models.stack import parse_blocks
from vae_jax.networks.bottleneck import conv3x3
from vae_jax.networks.convolution import depth_to_space
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.ranges import COUNT, POSITIVE, require
from vae_jax.types import Activation, Array, Codes, Given, Key

MakePosterior = Callable[[Array], DiagonalNormal]  # features of x -> q(z | x, above)
# (number of the layer from the top, p(z | above), q(z | x, above)) -> its code
Choose = Callable[[int, DiagonalNormal, MakePosterior], Array]

_SMALL_NOISE = nn.initializers.normal(0.02)


class TopDownVAE(nn.Module):
    """L latent layers of maps: p(zL) p(z_{L-1} | zL) ... p(x | z1, ..., zL).

    An image goes up through residual blocks, which leave features at each resolution.
    From the top down, each layer has a prior p(z_l | z_{l+1}, ..., zL) and a posterior
    q(z_l | x, z_{l+1}, ..., zL), both diagonal normals over maps [B, r, r, C], and all
    draws together decode the image. Since q and p of a layer are given the same draws,
    KL(q, p) has a closed form in every layer, and it is 0 before training.

    `blocks="1x2,7x5,14x3"` are two layers of 1x1, five of 7x7 and three of 14x14 sites,
    from the top. Each resolution divides the next, and the last divides the side of the
    images, which are square. Every resolution has learned biases.

    It has its own encoder, decoder, posterior and prior, so that a config's
    `model.network`, `model.posterior` and `model.prior` have no effect;
    `model.latent_dim` is C, the channels of z at each site.

    Source: Child 2021, arXiv:2011.10650, "VDVAE".

    Args:
        likelihood: last part of the decoder, features -> p(x | z1, ..., zL).
        image_shape: (H, W, channels) of x.
        output_shape: (H, W, F) of the likelihood's features.
        latent_dim: C.
        blocks: resolution and number of the blocks, from the top.
        width: channels of the features.
        bottleneck: channels inside a block, as a share of the width.
        activation: between layers.
        dtype: number type of the layers of networks; distributions, their KL, the sums
            of features and what the likelihood is given are float32.

    Raises:
        ConfigError: an argument is out of its range, or the blocks do not fit the
            images.
    """

    decodes_all_layers: ClassVar[bool] = True
    encoder_names: ClassVar[tuple[str, ...]] = ("to_shift",)  # in each of `layers`
    ignores: ClassVar[tuple[str, ...]] = (
        "model.network",
        "model.posterior",
        "model.prior",
    )

    likelihood: nn.Module
    image_shape: Sequence[int]
    output_shape: Sequence[int]
    latent_dim: int
    blocks: str = "1x1,2x1,4x1"
    width: int = 32
    bottleneck: float = 0.25
    activation: Activation = nn.gelu
    dtype: jnp.dtype | None = None

    def __post_init__(self) -> None:
        require(COUNT, latent_dim=self.latent_dim, width=self.width)
        require(POSITIVE, bottleneck=self.bottleneck)
        parse_blocks(self.blocks, self.image_shape)
        super().__post_init__()

    @property
    def num_layers(self) -> int:
        """L."""
        return sum(count for _, count in parse_blocks(self.blocks, self.image_shape))

    def setup(self) -> None:
        stack = parse_blocks(self.blocks, self.image_shape)
        hidden = max(1, round(self.width * self.bottleneck))
        self.encoder = BottomUp(stack, self.width, hidden, self.activation, self.dtype)
        self.layers = [
            TopDownBlock(
                self.width,
                hidden,
                self.latent_dim,
                self.num_layers,
                self.activation,
                self.dtype,
            )
            for _ in range(self.num_layers)
        ]
        self.biases = [
            self.param(f"bias_{r}", _SMALL_NOISE, (r, r, self.width)) for r, _ in stack
        ]
        stride = self.output_shape[0] // stack[-1][0]
        self.stride = (stride, stride)
        self.to_pixels = conv3x3(self.output_shape[-1] * stride**2, self.dtype)

    def __call__(self, x: Array, key: Key) -> VAEOutput:
        """Draws one code per layer and row of x.

        Args:
            x: images, [B, H, W, channels].
            key: random key for the draws.

        Returns:
            The likelihood p(x | z1, ..., zL) and L latent layers, z1 first.
        """
        latents, h = self._infer(x, key)
        return VAEOutput(likelihood=self._likelihood(h), latents=latents)

    def encode(self, x: Array, key: Key) -> tuple[Latent, ...]:
        """The L latent layers, z1 first; each is given draws of those above."""
        latents, _ = self._infer(x, key)
        return latents

    def decode(self, codes: Codes, given: Given = None) -> Distribution:
        """p(x | z1, ..., zL).

        Raises:
            ContractError: there is another number of codes than of layers.
        """
        refuse_given(self, given)
        if len(codes) != self.num_layers:
            raise ContractError(
                f"{type(self).__name__} decodes the codes of all its {self.num_layers}"
                f" layers, and was given {len(codes)}"
            )
        h = self.descend(codes[0].shape[0], lambda i, *_: codes[-1 - i])
        return self._likelihood(h)

    def joint_prior(self, num: int, given: Given = None) -> "TopDownPrior":
        """p(zL) ... p(z1 | z2, ..., zL) of `num` rows."""
        refuse_given(self, given)
        return TopDownPrior(self, num)

    def descend(self, num: int, choose: Choose) -> Array:
        """The pass from the top down.

        Args:
            num: number of rows B.
            choose: gives the code of a layer.

        Returns:
            The features at the last resolution, [B, r, r, width].
        """
        stack = parse_blocks(self.blocks, self.image_shape)
        h = jnp.zeros((num, 1, 1, self.width))
        layers = enumerate(self.layers)
        for (resolution, count), bias in zip(stack, self.biases, strict=True):
            h = upsampled(h, resolution // h.shape[1]) + bias[None]
            for _ in range(count):
                i, layer = next(layers)
                prior, added = layer.prior(h)
                posterior = functools.partial(layer.posterior, h, prior)
                h = layer.update(h, added, choose(i, normal(prior), posterior))
        return h

    def _infer(self, x: Array, key: Key) -> tuple[tuple[Latent, ...], Array]:
        """The latent layers, z1 first, and the features that all codes give."""
        stack = parse_blocks(self.blocks, self.image_shape)
        found = zip(self.encoder(x), stack, strict=True)
        seen = [features for features, (_, count) in found for _ in range(count)]
        keys = jax.random.split(key, self.num_layers)
        latents: list[Latent] = []

        def draw(i: int, prior: DiagonalNormal, posterior: MakePosterior) -> Array:
            q = posterior(seen[i])
            latents.append(Latent(z=q.sample(keys[i]), posterior=q, prior=prior))
            return latents[-1].z

        h = self.descend(x.shape[0], draw)
        return tuple(reversed(latents)), h

    def _likelihood(self, h: Array) -> Distribution:
        """Features at the last resolution -> p(x | z1, ..., zL)."""
        pixels = depth_to_space(self.to_pixels(h), self.stride)
        return self.likelihood(pixels.astype(jnp.float32))


class TopDownPrior:
    """p(zL) p(z_{L-1} | zL) ... p(z1 | z2, ..., zL) of a number of rows."""

    calls_model: ClassVar[bool] = True

    def __init__(self, model: TopDownVAE, num: int) -> None:
        """Keeps its model, inside whose `apply` it is used, and the number of rows."""
        self.model, self.num = model, num

    def sample(
        self, key: Key, temperature: float = 1.0, above: Codes | Array = ()
    ) -> Codes:
        """One draw per row, z1 first; see `JointPrior`."""
        above = as_codes(above)
        check_above(above, self.model.num_layers)
        keys = jax.random.split(key, self.model.num_layers)
        codes = [*reversed(above)]  # from the top

        def draw(i: int, prior: DiagonalNormal, _: MakePosterior) -> Array:
            if i == len(codes):
                codes.append(prior.sample(keys[i], temperature))
            return codes[i]

        self.model.descend(self.num, draw)
        return tuple(reversed(codes))

    def log_prob(self, codes: Codes | Array) -> Array:
        """Sum over the layers, nats, [B].

        Raises:
            ContractError: these are not the codes of all layers.
        """
        codes = as_codes(codes)
        check_layers(codes, self.model.num_layers)
        terms = []

        def score(i: int, prior: DiagonalNormal, _: MakePosterior) -> Array:
            terms.append(prior.log_prob(codes[-1 - i]))
            return codes[-1 - i]

        self.model.descend(self.num, score)
        return jnp.stack(terms).sum(axis=0)
