"""The variational autoencoder with one latent layer."""

import flax.linen as nn

from vae_jax.distributions import DiagonalNormal, Distribution
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.types import Array, Key


class VAE(nn.Module):
    """Encoder, prior and decoder around one drawn code.

    `encoder(x)` gives q(z | x), `prior(batch_size)` gives p(z), `decoder(z)` gives
    p(x | z). Any module with that signature fits; `flax.linen.Sequential` makes one of
    a network and its last part:

        VAE(
            encoder=nn.Sequential([MLPEncoder((400,)), DiagonalNormalPosterior(20)]),
            prior=StandardNormal(20),
            decoder=nn.Sequential(
                [MLPDecoder((28, 28, 1), (400,)), BernoulliLikelihood()]
            ),
        )

    Source: Kingma and Welling 2014, algorithm 1.
    """

    encoder: nn.Module
    prior: nn.Module
    decoder: nn.Module

    def __call__(self, x: Array, key: Key) -> VAEOutput:
        """Draws one code per row of x and decodes it.

        Args:
            x: a batch, [B, ...], or any pytree that the encoder takes.
            key: for the draw z = mean + std * eps.

        Returns:
            The likelihood p(x | z) and one latent layer.
        """
        posterior = self.encoder(x)
        z = posterior.sample(key)
        latent = Latent(z=z, posterior=posterior, prior=self.prior(z.shape[0]))
        return VAEOutput(likelihood=self.decoder(z), latents=(latent,))

    def encode(self, x: Array) -> Distribution:
        """q(z | x) with fields [B, D]."""
        return self.encoder(x)

    def decode(self, z: Array) -> Distribution:
        """p(x | z) with fields [B, ...]."""
        return self.decoder(z)

    def sample_prior(
        self, key: Key, batch_size: int, temperature: float = 1.0
    ) -> Array:
        """Codes z ~ p(z), [B, D]; the temperature multiplies the standard deviation."""
        prior: DiagonalNormal = self.prior(batch_size)
        return prior.sample(key, temperature)
