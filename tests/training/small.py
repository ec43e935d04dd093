"""A small model and its train step, for tests of what a user may get wrong."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import vae_jax
from tests.battery import FAST_COMPILE
from vae_jax.distributions import Bernoulli, DiagonalNormal

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
B, E, D = 4, 5, 2
KEY = jax.random.key(0)
X = np.asarray(np.random.default_rng(0).integers(0, 2, (B, E)), np.float32)
HPARAMS = vae_jax.make_hparams(kl_weight=1.0)
TX = optax.sgd(0.1)


class Model(nn.Module):
    """With a layer of the caller's between the code and the logits."""

    layer: object = None

    @nn.compact
    def __call__(self, x, key):
        posterior = vae_jax.posteriors.DiagonalNormalPosterior(D)(x)
        z = posterior.sample(key)
        prior = DiagonalNormal(jnp.zeros_like(z), jnp.zeros_like(z))
        h = z if self.layer is None else self.layer(z, key)
        latent = vae_jax.Latent(z=z, posterior=posterior, prior=prior)
        return vae_jax.VAEOutput(Bernoulli(nn.Dense(E)(h)), (latent,))


def make(model=None, objective=vae_jax.elbo_loss, tx=TX, **options):
    return vae_jax.vae_trainer(
        Model() if model is None else model, objective, tx, **options
    )


def step_of(objective=vae_jax.elbo_loss, hparams=HPARAMS, x=X, **options):
    """One step, traced only."""
    trainer = make(objective=objective, **options)
    state = jax.eval_shape(trainer.init, KEY, x)
    return jax.eval_shape(trainer.step, state, x, KEY, hparams)
