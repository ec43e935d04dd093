"""Beta-TC: the total correlation of the codes, estimated from the batch."""

import math
from typing import Any

import jax

from vae_jax.distributions.base import flatten_event
from vae_jax.distributions.normal import DiagonalNormal
from vae_jax.objectives.base import objective
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.outputs import VAEOutput
from vae_jax.types import Array, Examples, Hparams, Metrics


def batch_total_correlation(posterior: DiagonalNormal, z: Array) -> Array:
    """KL(q(z) || prod_d q(z_d)) with the batch in the place of all data, nats, [].

        log q(z_i) = logsumexp_j log q(z_i | x_j) - log B,  log q(z_id) likewise
        total correlation = mean_i (log q(z_i) - sum_d log q(z_id))

    A batch of B codes can tell at most log B nats of what a code knows of its image and
    counts the rest as total correlation: where posteriors are narrow, this number is
    far too high, and its gradient is mostly that of the information. The number
    `total_correlation` of the measure `codes` has all training codes in q(z).

    Chen et al. 2018 divide by B N in the place of B (minibatch-weighted sampling), for
    N training examples. Their estimate is lower for log q(z) and for each log q(z_d) by
    log N, so higher by (D - 1) log N for the total correlation, with the same gradient.
    In their code of the other form, stratified sampling, the weight 1/N of j = i fills
    a column in the place of the diagonal, so that it nearly equals this one.

    Source: Locatello et al. 2019, arXiv:1811.12359, in whose code it is this form.

    Args:
        posterior: q(z | x) of a batch, fields [B, ...].
        z: one draw of it for each example, [B, ...].

    Returns:
        The estimate, a scalar; 0 for a batch of one example.
    """
    q = DiagonalNormal(flatten_event(posterior.mean), flatten_event(posterior.log_std))
    of_pairs = jax.vmap(lambda row: q.log_prob_per_dimension(row[None]))
    log_q = of_pairs(flatten_event(z))  # [B, B, D]: z of the first, q of the second
    joint = jax.nn.logsumexp(log_q.sum(axis=2), axis=1)
    marginals = jax.nn.logsumexp(log_q, axis=1)
    num_dims = log_q.shape[2]
    constant = (num_dims - 1) * math.log(log_q.shape[1])
    return (joint - marginals.sum(axis=1)).mean() + constant


def beta_tc_loss(
    output: VAEOutput, x: Examples, hparams: Hparams
) -> tuple[Array, Metrics]:
    """Distortion + kl_weight * rate + tc_weight * total correlation.

    The rate is information + total correlation + KL by dimension, so at kl_weight = 1
    the beta of the paper is 1 + tc_weight. Source: Chen et al. 2018, arXiv:1802.04942,
    equation 4 with alpha = gamma = 1.

    Args:
        output: output of the model with a leading sample axis K.
        x: [B, ...].
        hparams: "kl_weight" and "tc_weight".

    Returns:
        The loss in nats, and the metrics elbo, rate, distortion, kl_weight and tc, the
        estimate of `batch_total_correlation`, which is too high.
    """
    loss, metrics = elbo_loss(output, x, hparams)
    latent: Any = output.latents[0]
    tc = jax.vmap(batch_total_correlation)(latent.posterior, latent.z).mean()
    return loss + hparams["tc_weight"] * tc, metrics | {"tc": tc}


beta_tc = objective(
    beta_tc_loss,
    hparams=("kl_weight", "tc_weight"),
    one_layer=True,
    needs_posterior=DiagonalNormal,
)
"""`beta_tc_loss` as an objective."""
