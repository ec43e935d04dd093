"""A model of another library: an (init, apply) pair, here around Equinox modules.

An Equinox model is a pytree that holds both parameters and functions. `eqx.partition`
takes out the arrays, which are the parameters that are trained, and `eqx.combine` puts
them back. The data are 569 tumours with 30 measurements each. On tumours it has not
seen, the network must do better than the best linear model with as many latent
dimensions, probabilistic principal component analysis, whose likelihood is known.

    python -m examples.equinox_model
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA

import vae_jax

LATENT_DIM = 3
NUM_STEPS = 300


class Network(eqx.Module):
    """Encoder and decoder of one example; `vmap` makes them those of a batch."""

    encoder: eqx.nn.MLP
    decoder: eqx.nn.MLP

    def __init__(self, data_dim: int, key: jax.Array):
        """Draws the initial parameters."""
        encoder_key, decoder_key = jax.random.split(key)
        self.encoder = eqx.nn.MLP(data_dim, 2 * LATENT_DIM, 64, 1, key=encoder_key)
        self.decoder = eqx.nn.MLP(LATENT_DIM, 2 * data_dim, 64, 1, key=decoder_key)

    def __call__(self, x: jax.Array, key: jax.Array) -> vae_jax.VAEOutput:
        """x [B, E] -> p(x | z) and one latent layer."""
        posterior = normal(jax.vmap(self.encoder)(x))
        z = posterior.sample(key)
        prior = vae_jax.distributions.DiagonalNormal(jnp.zeros_like(z), 0 * z)
        return vae_jax.VAEOutput(
            likelihood=normal(jax.vmap(self.decoder)(z)),
            latents=(vae_jax.Latent(z=z, posterior=posterior, prior=prior),),
        )


def normal(features: jax.Array) -> vae_jax.distributions.DiagonalNormal:
    """Mean and log standard deviation from [B, 2 E] features."""
    mean, raw = jnp.split(features, 2, axis=-1)
    return vae_jax.distributions.DiagonalNormal(
        mean, vae_jax.distributions.bound_log_std(raw)
    )


def as_functions(data_dim: int) -> vae_jax.ModelFunctions:
    """The pair that `vae_trainer` and `evaluate` take in the place of a Flax module."""
    like = eqx.filter_eval_shape(Network, data_dim, jax.random.key(0))
    _, static = eqx.partition(like, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))

    def init(key: jax.Array, x: jax.Array) -> Any:
        return eqx.filter(Network(data_dim, key), eqx.is_array)

    def apply(params: Any, x: jax.Array, key: jax.Array) -> vae_jax.VAEOutput:
        return eqx.combine(params, static)(x, key)

    return vae_jax.ModelFunctions(init, apply)


def load() -> tuple[np.ndarray, np.ndarray]:
    """Two thirds to train on and a third to test, columns standardised."""
    x = load_breast_cancer().data.astype(np.float32)
    held_out = np.arange(len(x)) % 3 == 0
    center, scale = x[~held_out].mean(axis=0), x[~held_out].std(axis=0)
    x = (x - center) / scale
    return x[~held_out], x[held_out]


def main() -> dict[str, float]:
    """Trains the Equinox model and compares it with the best linear one."""
    x, test = load()
    model = as_functions(x.shape[1])
    trainer = vae_jax.vae_trainer(model, vae_jax.elbo_loss, optax.adam(3e-3))
    hparams = vae_jax.make_hparams(kl_weight=1.0)
    key = jax.random.key(1)

    @jax.jit
    def fit(state: vae_jax.TrainState) -> vae_jax.TrainState:
        def one_step(state: vae_jax.TrainState, _: None) -> tuple[Any, Any]:
            return trainer.step(state, x, key, hparams)

        return jax.lax.scan(one_step, state, length=NUM_STEPS)[0]

    state = fit(trainer.init(jax.random.key(0), x))
    found = vae_jax.evaluate(model, state.eval_params, test, jax.random.key(2))
    linear = float(PCA(LATENT_DIM).fit(x).score(test))
    print(f"held-out ELBO {found['elbo']:.2f}, linear {linear:.2f} nats per tumour")
    return {"elbo": found["elbo"], "best_linear": linear}


if __name__ == "__main__":
    main()
