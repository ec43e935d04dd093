"""What a model returns: the one thing that models and objectives both know."""

import jax.numpy as jnp
from flax import struct

from vae_jax.distributions import (
    Deterministic,
    DiagonalNormal,
    Distribution,
    Posterior,
    kl_divergence,
)
from vae_jax.types import Array


@struct.dataclass
class Latent:
    """One stochastic layer."""

    z: Array  # [B, D], drawn from the posterior
    posterior: Posterior  # q(z | x), fields [B, D]
    prior: Distribution  # p(z), or p(z | the layers above), fields [B, D]

    @property
    def has_density(self) -> bool:
        """False for the point mass of a plain autoencoder."""
        return not isinstance(self.posterior, Deterministic)

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether `kl` is exact and per dimension, or a one-sample estimate."""
        return not self.has_density or (
            isinstance(self.posterior, DiagonalNormal)
            and isinstance(self.prior, DiagonalNormal)
        )

    def log_ratio(self) -> Array:
        """log p(z) - log q(z | x), nats, [B]."""
        return self.prior.log_prob(self.z) - self.posterior.log_prob(self.z)

    def kl(self) -> Array:
        """KL(q || p), nats: [B, D] in closed form, else the estimate -log_ratio [B, 1].

        The estimate of one draw is unbiased and can be negative.
        """
        if self.has_closed_form_kl:
            return kl_divergence(self.posterior, self.prior)
        return -self.log_ratio()[:, None]


@struct.dataclass
class VAEOutput:
    """p(x | z) and the latent layers, from the one next to the data upwards."""

    likelihood: Distribution  # p(x | z), fields [B, ...]
    latents: tuple[Latent, ...]  # L of them

    @property
    def has_density(self) -> bool:
        """Whether an ELBO exists: no layer is a point mass."""
        return all(latent.has_density for latent in self.latents)

    def log_lik(self, x: Array) -> Array:
        """log p(x | z), nats, [B]."""
        return self.likelihood.log_prob(x)

    def rate(self) -> Array:
        """Sum of the layers' KL, nats, [B]."""
        return jnp.stack([lat.kl().sum(axis=1) for lat in self.latents]).sum(axis=0)

    def log_w(self, x: Array) -> Array:
        """log p(x, z) - log q(z | x), nats, [B]: the log importance weight."""
        ratios = jnp.stack([latent.log_ratio() for latent in self.latents])
        return self.log_lik(x) + ratios.sum(axis=0)
