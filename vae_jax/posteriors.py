"""Encoder features -> q(z | x). Each is the last part of an encoder."""

import flax.linen as nn

from vae_jax.distributions import Deterministic, DiagonalNormal, bound_log_std
from vae_jax.types import Array


class DiagonalNormalPosterior(nn.Module):
    """q(z | x) = N(mean, exp(log_std)^2), both linear in the features.

    `log_std` is kept within (-10, 10): see `distributions.bound_log_std`.
    Source: Kingma and Welling 2014, equation 9.
    """

    latent_dim: int

    @nn.compact
    def __call__(self, features: Array) -> DiagonalNormal:  # [B, F] -> fields [B, D]
        return DiagonalNormal(
            mean=nn.Dense(self.latent_dim, name="mean")(features),
            log_std=bound_log_std(nn.Dense(self.latent_dim, name="log_std")(features)),
        )


class DeterministicPosterior(nn.Module):
    """A point instead of a distribution: the one part that makes an autoencoder."""

    latent_dim: int

    @nn.compact
    def __call__(self, features: Array) -> Deterministic:  # [B, F] -> mean [B, D]
        return Deterministic(mean=nn.Dense(self.latent_dim, name="mean")(features))
