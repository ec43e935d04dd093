"""The train step inside a loop of your own, with your own data and optimiser.

The data are 178 wines with 13 measurements each. The model is a linear VAE: at its best
it is probabilistic principal component analysis, whose log-likelihood is known exactly
(Lucas et al. 2019, "Don't Blame the ELBO!"). So we know the ELBO that training has to
reach.

    python -m examples.own_loop
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA

import vae_jax

LATENT_DIM = 3
NUM_STEPS = 4000


class LinearVAE(nn.Module):
    """Any Flax module will do, as long as it returns a VAEOutput."""

    data_dim: int

    @nn.compact
    def __call__(self, x: jax.Array, key: jax.Array) -> vae_jax.VAEOutput:
        """x [B, E] -> p(x | z) and one latent layer."""
        mean = nn.Dense(LATENT_DIM, name="mean")(x)
        log_std = self.param("log_std", nn.initializers.zeros, (LATENT_DIM,))
        posterior = vae_jax.distributions.DiagonalNormal(
            mean, jnp.broadcast_to(log_std[None, :], mean.shape)
        )
        z = posterior.sample(key)
        prior = vae_jax.distributions.DiagonalNormal(jnp.zeros_like(z), 0 * z)
        noise = self.param("noise", nn.initializers.zeros, ())
        location = nn.Dense(self.data_dim, name="decoder")(z)
        return vae_jax.VAEOutput(
            likelihood=vae_jax.distributions.DiagonalNormal(
                location, jnp.broadcast_to(noise, location.shape)
            ),
            latents=(vae_jax.Latent(z=z, posterior=posterior, prior=prior),),
        )


def load() -> np.ndarray:
    """178 wines, 13 columns, each with mean 0 and standard deviation 1."""
    wines = load_wine().data
    return ((wines - wines.mean(axis=0)) / wines.std(axis=0)).astype(np.float32)


def main() -> dict[str, float]:
    """Trains, and compares the ELBO with what is known to be the best one."""
    x = load()
    model = LinearVAE(data_dim=x.shape[1])
    rate = optax.cosine_decay_schedule(0.02, NUM_STEPS)
    tx = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))
    trainer = vae_jax.vae_trainer(model, vae_jax.elbo_loss, tx, num_samples=4)

    step = jax.jit(trainer.step, donate_argnums=0)
    state = trainer.init(jax.random.key(0), x)
    hparams = vae_jax.make_hparams(kl_weight=1.0)
    key = jax.random.key(1)  # one for the whole run: the step folds its number into it
    for i in range(NUM_STEPS):
        state, metrics = step(state, x, key, hparams)
        if (i + 1) % 1000 == 0:
            print(f"step {i + 1}: ELBO {metrics['elbo']:.3f} nats")

    results = vae_jax.evaluate(
        model, state.eval_params, x, jax.random.key(2), num_samples=500
    )
    exact = PCA(LATENT_DIM).fit(x).score(x)
    print(
        f"ELBO {results['elbo']:.3f} in 500 draws of z for each wine,"
        f" best possible {exact:.3f} nats"
    )
    return {"elbo": results["elbo"], "best_possible": float(exact)}


if __name__ == "__main__":
    main()
