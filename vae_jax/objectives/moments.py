"""DIP-VAE: the covariance of the codes is drawn towards the identity."""

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions.normal import DiagonalNormal
from vae_jax.objectives.base import Objective, objective
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.outputs import VAEOutput, flat_moments
from vae_jax.ranges import NOT_NEGATIVE, require
from vae_jax.types import Array, Examples, Hparams, Metrics


def covariance_penalty(covariance: Array, diagonal_ratio: float) -> Array:
    """sum_{i != j} C_ij^2 + diagonal_ratio * sum_i (C_ii - 1)^2, of C [D, D]; []."""
    off_diagonal = covariance * (1.0 - jnp.eye(len(covariance)))
    diagonal = jnp.diagonal(covariance) - 1.0
    return (off_diagonal**2).sum() + diagonal_ratio * (diagonal**2).sum()


def code_covariance(posterior: DiagonalNormal, of_draws: bool) -> Array:
    """Covariance over the batch, divided by B, [D, D].

    Args:
        posterior: q(z | x), fields [B, ...].
        of_draws: whether it is that of draws of q(z | x), which adds the mean variance
            to the diagonal, or that of the means.
    """
    mean, variance = flat_moments(posterior)
    centered = mean - mean.mean(axis=0, keepdims=True)
    covariance = jnp.matmul(centered.T, centered, precision="highest") / len(mean)
    return covariance + jnp.diag(variance.mean(axis=0)) if of_draws else covariance


def dip_i(diagonal_ratio: float = 10.0) -> Objective:
    """DIP-VAE-I: minus the ELBO, and the covariance C of the posterior means.

        distortion + kl_weight * rate + covariance_weight
            * (sum_{i != j} C_ij^2 + diagonal_ratio * sum_i (C_ii - 1)^2)

    C is that of the batch. Its noise alone makes the penalty about D (D - 1) / B +
    2 D diagonal_ratio / B for independent codes of variance 1: the penalty can't be
    expected to fall below. Source: Kumar et al. 2018, arXiv:1711.00848, equation
    6; the ratio of 10 is that of Locatello et al. 2019.

    Args:
        diagonal_ratio: weight of the diagonal as a multiple of that of the rest.

    Returns:
        An objective. Metrics: elbo, rate, distortion, kl_weight and
        covariance_penalty (without its weight).

    Raises:
        ConfigError: the ratio is below 0.
    """
    return _dip(diagonal_ratio, of_draws=False)


def dip_ii(diagonal_ratio: float = 1.0) -> Objective:
    """DIP-VAE-II: as `dip_i`, with C the covariance of the codes, noise included.

    Source: Kumar et al. 2018, arXiv:1711.00848, equation 7.

    Args:
        diagonal_ratio: weight of the diagonal as a multiple of that of the rest.

    Returns:
        An objective with the metrics of `dip_i`.

    Raises:
        ConfigError: the ratio is below 0.
    """
    return _dip(diagonal_ratio, of_draws=True)


def _dip(diagonal_ratio: float, of_draws: bool) -> Objective:
    require(NOT_NEGATIVE, diagonal_ratio=diagonal_ratio)

    def of_draw(posterior: DiagonalNormal) -> Array:
        covariance = code_covariance(posterior, of_draws)
        return covariance_penalty(covariance, diagonal_ratio)

    def loss(output: VAEOutput, x: Examples, hparams: Hparams) -> tuple[Array, Metrics]:
        minus_elbo, metrics = elbo_loss(output, x, hparams)
        posterior: Any = output.latents[0].posterior
        penalty = jax.vmap(of_draw)(posterior).mean()  # over K equal ones, usually
        total = minus_elbo + hparams["covariance_weight"] * penalty
        return total, metrics | {"covariance_penalty": penalty}

    return objective(
        loss,
        hparams=("kl_weight", "covariance_weight"),
        one_layer=True,
        needs_posterior=DiagonalNormal,
        min_batch_size=2,
    )
