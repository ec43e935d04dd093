"""A VAE whose log p(x) and posterior are known exactly.

p(z) = N(0, I), p(x | z) = N(W z + b, s^2 I) with orthogonal columns of W, so that the
exact posterior is a diagonal normal:
    N((x - b) W / (s^2 + |w_d|^2), s^2 / (s^2 + |w_d|^2)),
and p(x) = N(b, W W^T + s^2 I).
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from vae_jax.distributions import DiagonalNormal
from vae_jax.outputs import Latent, VAEOutput

DATA_DIM, LATENT_DIM = 6, 3


def make_params(shift=0.0, log_scale=0.0):
    """Of the model; `shift` and `log_scale` move q away from the exact posterior."""
    rng = np.random.default_rng(0)
    orthogonal = np.linalg.qr(rng.normal(size=(DATA_DIM, LATENT_DIM)))[0]
    weights = orthogonal * np.array([2.0, 1.0, 0.5])
    std = 0.7
    precision = std**2 + (weights**2).sum(axis=0)
    values = {
        "decoder": {
            "weights": weights,
            "bias": rng.normal(size=DATA_DIM),
            "log_std": np.log(std),
        },
        "encoder": {
            "weights": weights / precision,
            "bias": np.full(LATENT_DIM, shift),
            "log_std": 0.5 * np.log(std**2 / precision) + log_scale,
        },
    }
    values["encoder"]["bias"] -= values["decoder"]["bias"] @ (weights / precision)
    return jax.tree.map(lambda v: jnp.asarray(np.float32(v), jnp.float32), values)


def encode(params, x):
    p = params["encoder"]
    mean = x @ p["weights"] + p["bias"][None]
    return DiagonalNormal(mean, jnp.broadcast_to(p["log_std"], mean.shape))


def decode(params, z):
    p = params["decoder"]
    mean = z @ p["weights"].T + p["bias"][None]
    return DiagonalNormal(mean, jnp.broadcast_to(p["log_std"], mean.shape))


def prior(batch_size):
    zeros = jnp.zeros((batch_size, LATENT_DIM))
    return DiagonalNormal(zeros, zeros)


def apply(params, x, key):
    posterior = encode(params, x)
    z = posterior.sample(key)
    latent = Latent(z=z, posterior=posterior, prior=prior(x.shape[0]))
    return VAEOutput(likelihood=decode(params, z), latents=(latent,))


def exact(params):
    """The distribution p(x), from scipy."""
    p = jax.tree.map(lambda v: np.asarray(v, np.float64), params["decoder"])
    covariance = p["weights"] @ p["weights"].T
    covariance = covariance + np.exp(2 * p["log_std"]) * np.eye(DATA_DIM)
    return scipy.stats.multivariate_normal(p["bias"], covariance)


def draw_x(params, batch_size, seed=0):
    x = exact(params).rvs(batch_size, random_state=np.random.default_rng(seed))
    x = np.float32(x).reshape(batch_size, DATA_DIM)
    return jnp.asarray(x, jnp.float32)
