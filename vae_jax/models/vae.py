"""The variational autoencoder with one latent layer."""

import flax.linen as nn

from vae_jax.distributions.base import Distribution
from vae_jax.models.base import (
    LayeredPrior,
    call_part,
    check_layers,
    refuse_given,
)
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.types import Codes, Examples, Given, Key


class VAE(nn.Module):
    """Encoder, prior and decoder around one drawn code.

    `encoder(x)` gives q(z | x), `prior(batch_size)` gives p(z), `decoder(z)` gives
    p(x | z). Any module with that signature fits; `flax.linen.Sequential` makes one of
    a network and its last part, as does `models.base.Chain`, which also hands `train`
    on to both:

        VAE(
            encoder=nn.Sequential([MLPEncoder((400,)), DiagonalNormalPosterior(20)]),
            prior=StandardNormal(20),
            decoder=nn.Sequential(
                [MLPDecoder((28, 28, 1), (400,)), BernoulliLikelihood()]
            ),
        )

    Source: Kingma and Welling 2014, arXiv:1312.6114, algorithm 1.
    """

    encoder: nn.Module
    prior: nn.Module
    decoder: nn.Module

    def __call__(self, x: Examples, key: Key, train: bool = False) -> VAEOutput:
        """Draws one code per row of x and decodes it.

        Args:
            x: a batch, [B, ...], or any pytree that the encoder takes.
            key: random key for the draw z = mean + std * eps.
            train: whether this is a training step; passed on to an encoder or decoder
                whose `__call__` takes `train`.

        Returns:
            The likelihood p(x | z) and one latent layer.
        """
        latents = self.encode(x, key, train)
        likelihood = call_part(self.decoder, latents[0].z, train=train)
        return VAEOutput(likelihood=likelihood, latents=latents)

    def encode(self, x: Examples, key: Key, train: bool = False) -> tuple[Latent, ...]:
        """The one latent layer: q(z | x), a draw from it, and p(z)."""
        posterior = call_part(self.encoder, x, train=train)
        z = posterior.sample(key)
        return (Latent(z=z, posterior=posterior, prior=self.prior(z.shape[0])),)

    def decode(self, codes: Codes, given: Given = None) -> Distribution:
        """p(x | z) with fields [B, ...]."""
        refuse_given(self, given)
        check_layers(codes, 1)
        return self.decoder(codes[0])

    def joint_prior(self, num: int, given: Given = None) -> LayeredPrior:
        """p(z) of `num` rows."""
        refuse_given(self, given)
        return LayeredPrior(self.prior(num))
