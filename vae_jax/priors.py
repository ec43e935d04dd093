"""p(z). A prior is a module that gives the distribution of a batch of codes."""

import flax.linen as nn
import jax.numpy as jnp

from vae_jax.distributions import DiagonalNormal


class StandardNormal(nn.Module):
    """p(z) = N(0, I), without parameters."""

    latent_dim: int

    def __call__(self, batch_size: int) -> DiagonalNormal:  # fields [B, D]
        zeros = jnp.zeros((batch_size, self.latent_dim))
        return DiagonalNormal(mean=zeros, log_std=zeros)
