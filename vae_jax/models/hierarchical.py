"""Variational autoencoders with several latent layers, encoded from the bottom up."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import flax.linen as nn
import jax

from vae_jax.distributions.base import Distribution, Posterior
from vae_jax.distributions.normal import DiagonalNormal
from vae_jax.errors import ConfigError
from vae_jax.models.base import LayeredPrior, call_part, refuse_given
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.posteriors import DiagonalNormalPosterior
from vae_jax.ranges import MAX_LAYERS, require_widths
from vae_jax.types import Array, Codes, Examples, Given, Key


class HierarchicalVAE(nn.Module):
    """L latent layers: q(z1 | x) q(z2 | z1) ... and p(zL) ... p(z1 | z2) p(x | z1).

    `encoders[l]` maps z_l (x for l = 0) to q(z_{l+1} | z_l), `decoders[0]` maps z1 to
    p(x | z1), `decoders[l]` maps z_{l+1} to p(z_l | z_{l+1}), a `DiagonalNormal`, and
    `prior(batch_size)` is p(zL). Two layers, of the paper's sizes on MNIST:

        def normal(hidden, dim):
            return nn.Sequential(
                [MLPEncoder(hidden), DiagonalNormalPosterior(dim)]
            )

        HierarchicalVAE(
            encoders=[normal((200, 200), 100), normal((100, 100), 50)],
            prior=StandardNormal(50),
            decoders=[
                nn.Sequential([MLPDecoder((28, 28, 1)), BernoulliLikelihood()]),
                normal((100, 100), 100),
            ],
        )

    Source: Burda et al. 2016, arXiv:1509.00519, sections 2 and 5.
    """

    needs_posterior: ClassVar[type] = DiagonalNormal

    encoders: Sequence[nn.Module]
    prior: nn.Module
    decoders: Sequence[nn.Module]

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.encoders)

    def __call__(self, x: Examples, key: Key, train: bool = False) -> VAEOutput:
        """Draws one code per layer and row of x.

        Args:
            x: a batch, [B, ...], or any pytree that the first encoder takes.
            key: random key for the draws.
            train: whether this is a training step; passed on to parts that take it.

        Returns:
            The likelihood p(x | z1) and L latent layers, z1 first.
        """
        latents = self.encode(x, key, train)
        likelihood = call_part(self.decoders[0], latents[0].z, train=train)
        return VAEOutput(likelihood=likelihood, latents=latents)

    def encode(self, x: Examples, key: Key, train: bool = False) -> tuple[Latent, ...]:
        """The L latent layers, z1 first."""
        drawn: list[tuple[Posterior, Array]] = []
        below = x
        keys = jax.random.split(key, len(self.encoders))
        for encoder, layer_key in zip(self.encoders, keys, strict=True):
            posterior = call_part(encoder, below, train=train)
            below = posterior.sample(layer_key)
            drawn.append((posterior, below))
        # p(z1 | z2), p(z2 | z3), ...: each is given draws made from its own z.
        priors = [
            call_part(decoder, z, train=train)
            for decoder, (_, z) in zip(self.decoders[1:], drawn[1:], strict=True)
        ]
        top = self.prior(below.shape[0])
        return tuple(
            Latent(
                z=z,
                posterior=posterior,
                prior=prior,
                prior_depends_on_z=prior is not top,
            )
            for (posterior, z), prior in zip(drawn, [*priors, top], strict=True)
        )

    def decode(self, codes: Codes, given: Given = None) -> Distribution:
        """p(x | z1): what the layers above know of it is its prior."""
        refuse_given(self, given)
        return self.decoders[0](codes[0])

    def joint_prior(self, num: int, given: Given = None) -> LayeredPrior:
        """p(zL) ... p(z1 | z2) of `num` rows."""
        refuse_given(self, given)
        return LayeredPrior(self.prior(num), self.decoders[1:])


def hierarchical_vae(
    *,
    encoder: nn.Module,
    decoder: nn.Module,
    make_prior: Callable[[int], nn.Module],
    make_mlp: Callable[[Sequence[int]], nn.Module],
    latent_dim: int,
    latent_dims: Sequence[int],
    hidden_dims: Sequence[int] = (100, 100),
) -> HierarchicalVAE:
    """A `HierarchicalVAE` with a multilayer perceptron between every two codes.

    Args:
        encoder: x -> q(z1 | x).
        decoder: z1 -> p(x | z1).
        make_prior: number of dimensions -> p(zL).
        make_mlp: widths of layers -> network between two codes.
        latent_dim: dimensions of z1.
        latent_dims: dimensions of z2, ..., zL.
        hidden_dims: widths of the layers between two codes, from the data upwards.

    Returns:
        The hierarchical model.

    Raises:
        ConfigError: a number of dimensions is not valid, or there are too many layers.
    """
    require_widths(least=1, latent_dims=latent_dims)
    require_widths(hidden_dims=hidden_dims)
    made = len(latent_dims) * (1 + len(hidden_dims))
    if made > MAX_LAYERS:
        raise ConfigError(
            f"latent_dims and hidden_dims make {made} layers: each is compiled on its"
            f" own, so there may be at most {MAX_LAYERS}"
        )

    def normal(widths: Sequence[int], dim: int) -> nn.Module:
        return nn.Sequential([make_mlp(widths), DiagonalNormalPosterior(dim)])

    dims, down = (latent_dim, *latent_dims), hidden_dims[::-1]
    return HierarchicalVAE(
        encoders=[encoder, *(normal(hidden_dims, dim) for dim in dims[1:])],
        prior=make_prior(dims[-1]),
        decoders=[decoder, *(normal(down, dim) for dim in dims[:-1])],
    )
