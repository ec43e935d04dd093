"""Probability distributions as frozen pytrees: see `distributions.base`."""

from vae_jax.distributions.base import (
    LEVELS,
    LOG_2PI,
    LOG_STD_BOUND,
    BaseDistribution,
    Distribution,
    Posterior,
    absolute,
    bound_log_std,
    flatten_event,
    sum_event,
)
from vae_jax.distributions.flows import CouplingFlow
from vae_jax.distributions.kl import kl_divergence, register_kl
from vae_jax.distributions.mixtures import NormalMixture
from vae_jax.distributions.normal import (
    Deterministic,
    DiagonalNormal,
    Laplace,
    OptimalNormal,
)
from vae_jax.distributions.pixels import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    binary_cross_entropy,
    discretized_logistic_log_prob,
)
from vae_jax.distributions.quantized import Quantized, UniformCodes

__all__ = [
    "BaseDistribution",
    "Bernoulli",
    "ContinuousBernoulli",
    "CouplingFlow",
    "Deterministic",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Distribution",
    "LEVELS",
    "LOG_2PI",
    "LOG_STD_BOUND",
    "Laplace",
    "NormalMixture",
    "OptimalNormal",
    "Posterior",
    "Quantized",
    "UniformCodes",
    "absolute",
    "binary_cross_entropy",
    "bound_log_std",
    "discretized_logistic_log_prob",
    "flatten_event",
    "kl_divergence",
    "register_kl",
    "sum_event",
]
