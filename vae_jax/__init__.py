"""Variational autoencoders in JAX and Flax.

The names here are those that another project needs. Importing them brings in jax, flax
and optax only; data sets, checkpoints, figures and configs live in `vae_jax.data`,
`vae_jax.workdir`, `vae_jax.build` and `vae_jax.runs`, which are imported by name.
"""

from vae_jax import distributions, likelihoods, posteriors, priors
from vae_jax.models.vae import VAE
from vae_jax.networks.conv import ConvDecoder, ConvEncoder
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.objectives import schedules
from vae_jax.objectives.elbo import capacity, elbo
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.training.ensemble import ensemble
from vae_jax.training.state import TrainState, make_hparams, scale_by_hparam
from vae_jax.training.step import ModelFunctions, Trainer, vae_trainer

__version__ = "0.1.0"

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "Latent",
    "MLPDecoder",
    "MLPEncoder",
    "ModelFunctions",
    "TrainState",
    "Trainer",
    "VAE",
    "VAEOutput",
    "capacity",
    "distributions",
    "elbo",
    "ensemble",
    "likelihoods",
    "make_hparams",
    "posteriors",
    "priors",
    "scale_by_hparam",
    "schedules",
    "vae_trainer",
]
