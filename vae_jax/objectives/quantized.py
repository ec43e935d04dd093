"""The loss of models with discrete codes."""

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions.base import sum_event
from vae_jax.distributions.quantized import Quantized, code_perplexity
from vae_jax.objectives.base import Objective, objective
from vae_jax.objectives.elbo import bound_metrics, distortion_and_rate
from vae_jax.outputs import VAEOutput
from vae_jax.ranges import NOT_NEGATIVE, POSITIVE, require
from vae_jax.types import Array, Examples, Hparams, Metrics


def quantized(inverse_temperature: float = 1.0, diversity: float = 1.0) -> Objective:
    """Minus the ELBO, and what keeps vectors near their codes and all codes in use.

        distortion + kl_weight * rate
            + commitment_weight * sum over sites |v - code|^2
            + entropy_weight * sum over sites (H(p(c | v)) - diversity * H(E p(c | v)))

    Examples are averaged and sites summed, as pixels are: the weights mean the same for
    every number of sites. v is what was quantised, and its code is a constant here.
    p(c | v) is softmax(-inverse_temperature |v - c|^2) over the codes c, and E the mean
    over examples and sites. With a uniform prior the rate is a constant; FSQ needs
    neither other term, VQ the commitment and LFQ the entropies. With "entropy_weight"
    left out of the traced numbers, p(c | v) is not computed.

    Sources: van den Oord et al. 2017, arXiv:1711.00937, equation 3, for the
    commitment; Yu et al. 2024, arXiv:2310.05737, equation 5, for the entropies.

    Args:
        inverse_temperature: how hard the assignments p(c | v) are.
        diversity: weight of the entropy of all assignments together, gamma in the
            paper.

    Returns:
        An objective. Metrics: elbo, rate, distortion, kl_weight, commitment (the sum
        over sites, without its weight), perplexity (exp of the entropy of the codes of
        the batch: how many are in use), and entropy_penalty, where it is computed.
    """
    require(POSITIVE, inverse_temperature=inverse_temperature)
    require(NOT_NEGATIVE, diversity=diversity)

    def loss(output: VAEOutput, x: Examples, hparams: Hparams) -> tuple[Array, Metrics]:
        distortion, rate = distortion_and_rate(output, x)
        posterior: Any = output.latents[0].posterior
        commitment = jax.vmap(_commitment)(posterior).mean()
        total = distortion.mean() + hparams["kl_weight"] * rate.mean()
        total += hparams["commitment_weight"] * commitment
        metrics = bound_metrics(output, distortion, rate)
        metrics |= {
            "kl_weight": hparams["kl_weight"],
            "commitment": commitment,
            "perplexity": code_perplexity(code_counts(posterior)),
        }
        if "entropy_weight" in hparams:
            of_draw = jax.vmap(lambda q: q.entropies(inverse_temperature))
            each, of_all = of_draw(posterior)  # [K, B, ...], [K]
            num_sites = each[0, 0].size
            penalty = num_sites * (each.mean() - diversity * of_all.mean())
            total += hparams["entropy_weight"] * penalty
            metrics["entropy_penalty"] = penalty
        return total, metrics

    names = "kl_weight", "commitment_weight", "entropy_weight"
    return objective(loss, hparams=names, one_layer=True, needs_posterior=Quantized)


def code_counts(posterior: Quantized) -> Array:
    """How often each code was used, [C] int32; indices may have any axes."""
    num_codes = posterior.codebook.shape[-2]
    counts = jnp.zeros(num_codes, jnp.int32)
    return counts.at[posterior.index.reshape(-1)].add(1)


def _commitment(posterior: Quantized) -> Array:
    """Sum over sites of |v - code|^2, by example, [B]."""
    code = jax.lax.stop_gradient(posterior.mean)
    return sum_event((posterior.before - code) ** 2)
