"""The loss of a regularised autoencoder."""

import jax
import jax.numpy as jnp

from vae_jax.distributions.base import sum_event
from vae_jax.errors import ContractError
from vae_jax.objectives.base import objective
from vae_jax.objectives.elbo import bound_metrics, distortion_and_rate
from vae_jax.outputs import VAEOutput
from vae_jax.types import Array, Hparams, Metrics


def regularized_loss(
    output: VAEOutput, x: Array, hparams: Hparams
) -> tuple[Array, Metrics]:
    """Distortion + code_weight |z|^2 / 2 + gradient_weight |dm/dz|^2.

    The second term keeps codes near the origin, the third the decoder smooth between
    them; together they take the place of the VAE's noise. Nothing can be drawn until a
    density is fitted to the codes (`experiments.fit_prior`). Source: Ghosh et al. 2020,
    arXiv:1903.12436, equation 6, with the log-likelihood in the place of the squared
    error. Weight decay on the decoder, their "RAE-L2", is `optimizer.name=adamw`.

    Args:
        output: output of an `RAE` with a leading sample axis K.
        x: [B, ...].
        hparams: "code_weight" and "gradient_weight".

    Returns:
        The loss, and the metrics distortion, code_penalty and gradient_penalty.

    Raises:
        ContractError: the output holds no gradient penalty.
    """
    if "gradient_penalty" not in output.extras:
        raise ContractError(
            "the loss needs output.extras['gradient_penalty'], which an RAE gives"
        )
    distortion, rate = distortion_and_rate(output, x)
    halves = [0.5 * jax.vmap(sum_event)(z**2).mean() for z in output.codes]
    code_penalty = jnp.stack(halves).sum()
    gradient_penalty = output.extras["gradient_penalty"].mean()
    loss = (
        distortion.mean()
        + hparams["code_weight"] * code_penalty
        + hparams["gradient_weight"] * gradient_penalty
    )
    metrics = bound_metrics(output, distortion, rate)
    return loss, metrics | {
        "code_penalty": code_penalty,
        "gradient_penalty": gradient_penalty,
    }


regularized = objective(
    regularized_loss,
    hparams=("code_weight", "gradient_weight"),
    scheduled="gradient_weight",
    needs_extras=("gradient_penalty",),
)
