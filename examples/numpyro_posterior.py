"""Distributions of another library: a full covariance from NumPyro as the posterior.

An adapter gives a NumPyro distribution the few methods that are needed here. The
data are 178 wines with 13 measurements each, and the model is a linear VAE whose
decoder is held at the axes of a rotated solution, so that no diagonal posterior is
exact; one with full covariance is, and reaches the log-likelihood of probabilistic
principal component analysis (Lucas et al. 2019, arXiv:1911.02469).

    python -m examples.numpyro_posterior
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
from flax import struct
from sklearn.decomposition import PCA

import vae_jax
from examples.own_loop import LATENT_DIM, load
from vae_jax.distributions import BaseDistribution, DiagonalNormal

NUM_STEPS = 3000


@struct.dataclass
class FromNumPyro(BaseDistribution):
    """A NumPyro distribution of codes [B, D]: its batch axis is B, its event axis D."""

    base: Any

    @property
    def mean(self) -> jax.Array:
        """Shape [B, D]."""
        return self.base.mean

    @property
    def variance(self) -> jax.Array:
        """Variance of each dimension, [B, D]."""
        return self.base.variance

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw per row, [B, D]."""
        return self.base.sample(key)

    def log_prob(self, x: jax.Array) -> jax.Array:
        """Nats, [B]."""
        return self.base.log_prob(x)


class LinearVAE(nn.Module):
    """A fixed linear decoder; the posterior is learned."""

    loadings: tuple[tuple[float, ...], ...]  # [D, E]
    noise: float
    full: bool  # whether the posterior has a full covariance

    @nn.compact
    def __call__(self, x: jax.Array, key: jax.Array) -> vae_jax.VAEOutput:
        """x [B, E] -> p(x | z) and one latent layer."""
        mean = nn.Dense(LATENT_DIM)(x)
        shape = (LATENT_DIM, LATENT_DIM)
        raw = self.param("raw", nn.initializers.zeros, shape)
        factor = jnp.diag(jnp.exp(jnp.diag(raw)))
        if self.full:
            factor = factor + jnp.tril(raw, k=-1)
        factor = jnp.broadcast_to(factor, (len(x), *shape))
        posterior = FromNumPyro(dist.MultivariateNormal(mean, scale_tril=factor))
        z = posterior.sample(key)
        location = z @ jnp.asarray(self.loadings)
        return vae_jax.VAEOutput(
            DiagonalNormal(location, jnp.full_like(location, np.log(self.noise))),
            (vae_jax.Latent(z, posterior, DiagonalNormal.standard_like(z)),),
        )


def main() -> dict[str, float]:
    """Trains both posteriors and compares their ELBOs with the exact likelihood."""
    x = load()
    pca = PCA(LATENT_DIM).fit(x)
    noise = np.sqrt(pca.noise_variance_)
    scale = np.sqrt(pca.explained_variance_ - pca.noise_variance_)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(LATENT_DIM,) * 2))
    loadings = rotation @ (scale[:, None] * pca.components_)
    results = {"exact": float(pca.score(x))}
    for name, full in (("full", True), ("diagonal", False)):
        model = LinearVAE(tuple(map(tuple, loadings.tolist())), float(noise), full)
        rate = optax.cosine_decay_schedule(0.02, NUM_STEPS)
        trainer = vae_jax.vae_trainer(model, vae_jax.elbo_loss, optax.adam(rate))
        step = jax.jit(trainer.step, donate_argnums=0)
        state = trainer.init(jax.random.key(0), x)
        hparams = vae_jax.make_hparams(kl_weight=1.0)
        for _ in range(NUM_STEPS):
            state, _ = step(state, x, jax.random.key(1), hparams)
        found = vae_jax.evaluate(
            model, state.eval_params, x, jax.random.key(2), num_samples=500
        )
        results[name] = found["elbo"]
        print(f"{name} covariance: ELBO {found['elbo']:.2f} nats per wine")
    print(f"exact log p(x): {results['exact']:.2f}")
    return results


if __name__ == "__main__":
    main()
