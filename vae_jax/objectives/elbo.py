"""The evidence lower bound and the losses made of it.

    ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z)) = -(distortion + rate)

A plain objective is a function `(output, x, hparams) -> (loss, metrics)`. The output
has a sample axis K in front of every array. Pixels and latent dimensions are summed,
examples and samples are averaged: a KL weight here is the beta of the papers, whatever
the size of the image. `metrics["elbo"]` is always at weight 1, larger is better.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions.base import absolute
from vae_jax.outputs import VAEOutput, terms
from vae_jax.types import Array, Examples, Hparams, Metrics


def kl_per_dimension(output: VAEOutput) -> tuple[Array, ...]:
    """KL of each layer, averaged over samples: L arrays [B, D_l], nats."""
    latents = output.latents
    return tuple(jax.vmap(lambda lat: lat.kl())(lat).mean(axis=0) for lat in latents)


def distortion_and_rate(output: VAEOutput, x: Examples) -> tuple[Array, Array]:
    """The two parts of -ELBO per example, averaged over samples.

    Args:
        output: output of the model with a leading sample axis K.
        x: [B, ...].

    Returns:
        distortion -E_q[log p(x | z)] and rate KL(q || p), nats, each [B].
    """
    found = terms(output, x)
    return -found.log_lik.mean(axis=0), found.rate.mean(axis=0)


def bound_metrics(output: VAEOutput, distortion: Array, rate: Array) -> Metrics:
    """Batch means of what everybody watches; no rate or ELBO for an autoencoder.

    With several latent layers also the rate of each, that next to the data first.
    """
    metrics = {"distortion": distortion.mean()}
    if output.has_density:
        metrics |= {"rate": rate.mean(), "elbo": -(distortion + rate).mean()}
        if len(output.latents) > 1:
            for number, kl in enumerate(kl_per_dimension(output), start=1):
                metrics[f"rate_layer{number}"] = kl.sum(axis=1).mean()
    return metrics


def elbo_loss(
    output: VAEOutput, x: Examples, hparams: Hparams
) -> tuple[Array, Metrics]:
    """Distortion + kl_weight * rate: the VAE at weight 1, the beta-VAE at others.

    With `free_nats` > 0, each latent dimension's KL, averaged over the batch, counts
    as at least that many nats, so it costs nothing to use a dimension that much; a
    layer of D dimensions whose KL is estimated as a whole, as under a mixture, counts
    as at least D times as many. With `free_nats_per_layer` > 0, which goes before it,
    each latent layer's counts as at least so many.
    Sources: Kingma and Welling 2014, arXiv:1312.6114, equation 10; Higgins et al. 2017,
    equation 4; Kingma et al. 2016, arXiv:1606.04934, appendix C.8 (free bits).

    Args:
        output: output of the model with a leading sample axis K.
        x: [B, ...].
        hparams: "kl_weight" and, optionally, "free_nats" (nats per dimension) or
            "free_nats_per_layer".

    Returns:
        The loss in nats, and the metrics elbo, rate, distortion, kl_weight.
    """
    distortion, rate = distortion_and_rate(output, x)
    penalty = rate.mean()
    floors = [n for n in ("free_nats", "free_nats_per_layer") if n in hparams]
    means = [kl.mean(axis=0) for kl in kl_per_dimension(output)] if floors else []
    for name in floors:
        if name == "free_nats_per_layer":
            parts, floor = [kl.sum(keepdims=True) for kl in means], hparams[name]
        else:
            parts, floor = means, hparams[name] * _sizes_of_parts(output, means)
        floored = jnp.maximum(jnp.concatenate(parts), floor).sum()
        # An estimated KL may be below zero, where a floor of zero would change it.
        penalty = jnp.where(hparams[name] > 0, floored, penalty)
    loss = distortion.mean() + hparams["kl_weight"] * penalty
    metrics = bound_metrics(output, distortion, rate)
    return loss, metrics | {"kl_weight": hparams["kl_weight"]}


def _sizes_of_parts(output: VAEOutput, kls: Sequence[Array]) -> np.ndarray:
    """Of how many dimensions each KL is, all layers side by side, float32 [D]."""
    sizes = [
        1 if latent.has_closed_form_kl else latent.z[0, 0].size // len(kl)
        for latent, kl in zip(output.latents, kls, strict=True)
    ]
    return np.repeat(np.array(sizes, np.float32), [len(kl) for kl in kls])


def capacity_loss(
    output: VAEOutput, x: Examples, hparams: Hparams
) -> tuple[Array, Metrics]:
    """Distortion + kl_weight * |rate - capacity|, rate averaged over the batch.

    Meant for a capacity that grows from 0 (a schedule on "capacity") and a large
    kl_weight, gamma in the paper. Source: Burgess et al. 2018, arXiv:1804.03599,
    equation 8.

    Args:
        output: output of the model with a leading sample axis K.
        x: [B, ...].
        hparams: "kl_weight" and "capacity" (nats).

    Returns:
        The loss in nats, and the metrics elbo, rate, distortion, kl_weight, capacity.
    """
    distortion, rate = distortion_and_rate(output, x)
    penalty = absolute(rate.mean() - hparams["capacity"])
    loss = distortion.mean() + hparams["kl_weight"] * penalty
    metrics = bound_metrics(output, distortion, rate)
    watched = {name: hparams[name] for name in ("kl_weight", "capacity")}
    return loss, metrics | watched
