"""Variational autoencoders in JAX and Flax.

The names here are those that another project needs. Importing them brings in jax, flax
and optax only; data sets, checkpoints, figures and configs live in `vae_jax.data`,
`vae_jax.storage`, `vae_jax.report`, `vae_jax.build` and `vae_jax.runs`, which are
imported by name.

- Models return a `VAEOutput`: `VAE` and `HierarchicalVAE`, put together from networks
  (`MLPEncoder`, ...) and from what is in `posteriors`, `priors` and `likelihoods`; or
  any module of your own; or a `ModelFunctions` pair made with another library.
- Distributions are frozen pytrees: `distributions`, and `tabular` for classes, counts,
  missing values and data of several parts.
- Objectives are functions `(output, x, hparams) -> (loss, metrics)`: `elbo`,
  `capacity` and those in `bounds`; `terms` gives what they are made of.
- `vae_trainer` makes two pure functions of a model, an objective and an optimiser;
  `ensemble` makes them train many members at once; `schedules` change a traced number
  over time.
- `evaluate` gives ELBO, NLL and a summary of the latents.
- `errors` are what all of them raise.
"""

from vae_jax import distributions, errors, likelihoods, posteriors, priors
from vae_jax.distributions import tabular
from vae_jax.evaluation.evaluate import evaluate
from vae_jax.evaluation.likelihood import importance_statistics
from vae_jax.models.hierarchical import HierarchicalVAE
from vae_jax.models.vae import VAE
from vae_jax.networks.conv import ConvDecoder, ConvEncoder
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.objectives import bounds, schedules
from vae_jax.objectives.elbo import capacity, elbo
from vae_jax.outputs import Latent, VAEOutput, terms
from vae_jax.training.checks import check_support
from vae_jax.training.ensemble import ensemble
from vae_jax.training.split import split_model
from vae_jax.training.state import TrainState, make_hparams, scale_by_hparam
from vae_jax.training.step import ModelFunctions, Trainer, model_functions, vae_trainer

__version__ = "0.1.0"

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "HierarchicalVAE",
    "Latent",
    "MLPDecoder",
    "MLPEncoder",
    "ModelFunctions",
    "TrainState",
    "Trainer",
    "VAE",
    "VAEOutput",
    "bounds",
    "capacity",
    "check_support",
    "distributions",
    "elbo",
    "ensemble",
    "errors",
    "evaluate",
    "importance_statistics",
    "likelihoods",
    "make_hparams",
    "model_functions",
    "posteriors",
    "priors",
    "scale_by_hparam",
    "schedules",
    "split_model",
    "tabular",
    "terms",
    "vae_trainer",
]
