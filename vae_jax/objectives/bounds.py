"""Bounds of log p(x) made of K importance weights per example, and better gradients.

With z_k ~ q(z | x) and log w_k = log p(x, z_k) - log q(z_k | x), every bound here is a
function of the log-weights [K, B] that gives one number per example [B]; its objective
is minus the mean over examples. Groups divide the sample axis, and K is the trainer's
`num_samples`.

With a `kl_weight` in hparams, the loss uses log p(x | z) + kl_weight * (log p(z) -
log q(z | x)) for warm-up. The metrics "elbo" and "bound" are always at weight 1.

Plain autoencoders have no weights: these objectives raise a TypeError for them. They
are `Objective`s, which say what they need of a model and can be called as plain
functions.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.errors import ConfigError
from vae_jax.objectives.base import Loss, Objective, objective, with_gradient_of
from vae_jax.outputs import SplitOutput, Terms, VAEOutput, terms
from vae_jax.ranges import COUNT, FINITE, SHARE, require
from vae_jax.types import Array, Examples, Hparams, Metrics

Bound = Callable[[Array], Array]  # log-weights [K, B] -> nats [B]


def mean_log_weight(log_w: Array) -> Array:
    """1/K sum_k log w_k: the ELBO with its KL term estimated. [K, B] -> [B]."""
    return log_w.mean(axis=0)


def log_mean_weight(log_w: Array) -> Array:
    """log 1/K sum_k w_k.

    Burda et al. 2016, arXiv:1509.00519, equation 8. [K, B] -> [B].
    """
    return jax.nn.logsumexp(log_w, axis=0) - math.log(log_w.shape[0])


def grouped_bound(num_groups: int) -> Bound:
    """Mean of the IWAE bounds of `num_groups` groups of K / num_groups samples."""
    require(COUNT, num_groups=num_groups)

    def bound(log_w: Array) -> Array:
        num_samples, batch_size = log_w.shape
        if num_samples % num_groups:
            raise ConfigError(
                f"num_groups={num_groups}: must divide num_samples={num_samples}"
            )
        groups = log_w.reshape(num_groups, -1, batch_size)
        return jax.vmap(log_mean_weight)(groups).mean(axis=0)

    return bound


def mixed_bound(elbo_share: float) -> Bound:
    """elbo_share * mean log-weight + (1 - elbo_share) * IWAE bound."""
    require(SHARE, elbo_share=elbo_share)

    def bound(log_w: Array) -> Array:
        elbo, iwae = mean_log_weight(log_w), log_mean_weight(log_w)
        return elbo_share * elbo + (1.0 - elbo_share) * iwae

    return bound


def renyi_bound(alpha: float) -> Bound:
    """1 / (1 - alpha) * log 1/K sum_k w_k^(1 - alpha); mean log-weight at alpha = 1."""
    require(FINITE, alpha=alpha)
    power = 1.0 - alpha
    if power == 0.0:
        return mean_log_weight

    def bound(log_w: Array) -> Array:
        # The formula as it stands divides a rounding error by the power. Around its
        # result, which is near enough, the powers of the weights have a mean near 1,
        # and what is left is a small number with all its digits.
        near = jax.lax.stop_gradient(log_mean_weight(power * log_w) / power)
        rest = jnp.expm1(power * (log_w - near[None])).mean(axis=0)
        return near + jnp.log1p(rest) / power

    return bound


def _of_weights(loss: Loss, **facts: Any) -> Objective:
    return objective(loss, needs_density=True, hparams=("kl_weight",), **facts)


def bound_objective(bound: Bound) -> Objective:
    """The objective that maximises a bound by its plain gradient.

    Args:
        bound: log-weights [K, B] -> nats [B].

    Returns:
        An objective. The loss is minus the batch mean of the bound. Metrics: elbo,
        rate, distortion, bound.
    """

    def loss(output: VAEOutput, x: Examples, hparams: Hparams) -> tuple[Array, Metrics]:
        found = terms(output, x)
        minus_bound = -bound(_log_w(found, hparams)).mean()
        return minus_bound, _metrics(found, bound)

    return _of_weights(loss)


elbo_mc = bound_objective(mean_log_weight)
"""The VAE's loss with an estimated KL: what Burda et al. 2016 train as "VAE, k = K"."""

iwae = bound_objective(log_mean_weight)
"""Importance-weighted autoencoder.

Source: Burda et al. 2016, arXiv:1509.00519, equation 8.
"""


def miwae(num_groups: int = 1) -> Objective:
    """Multiply IWAE: K samples as the mean of the bounds of `num_groups` groups.

    One group is IWAE, K groups are the VAE. Source: Rainforth et al. 2018,
    arXiv:1802.04537, section 5.
    """
    return bound_objective(grouped_bound(num_groups))


def ciwae(elbo_share: float = 0.5) -> Objective:
    """Combination IWAE: elbo_share * ELBO + (1 - elbo_share) * IWAE bound.

    `elbo_share` is beta in the paper. Source: Rainforth et al. 2018, arXiv:1802.04537,
    section 5.
    """
    return bound_objective(mixed_bound(elbo_share))


def renyi(alpha: float = 0.5) -> Objective:
    """The Monte-Carlo variational Renyi bound.

    alpha = 0 is IWAE, alpha = 1 the VAE; a bound from below in expectation for alpha
    >= 0 and any K. Source: Li and Turner 2016, arXiv:1602.02311, section 4.1.
    """
    return bound_objective(renyi_bound(alpha))


def stl_loss(output: VAEOutput, x: Examples, hparams: Hparams) -> tuple[Array, Metrics]:
    """The VAE's loss with the path gradient: "sticking the landing".

    The density log q(z | x) keeps its gradient through z, but not through the
    parameters of q. What is left out has mean zero, so the gradient stays unbiased, and
    of a model with one latent layer it becomes exactly zero, sample by sample, where q
    is the exact posterior (of several layers, q(z2 | z1) is held as a whole, and with
    it how it depends on z1: unbiased, but not free of noise). For the
    mean of log-weights only: with the IWAE bound this estimator is biased (Tucker et
    al. 2019, arXiv:1810.04152, section 3), and `dreg` is the one that is not.
    Source: Roeder et al. 2017, arXiv:1703.09194, section 3.

    Args:
        output: output of the model with a leading sample axis K.
        x: [B, ...].
        hparams: optionally "kl_weight".

    Returns:
        The loss -1/K sum_k log w_k, and the metrics of `bound_objective`.
    """
    frozen = terms(_freeze_posteriors(output), x)
    loss = -mean_log_weight(_log_w(frozen, hparams)).mean()
    return loss, _metrics(frozen, mean_log_weight)


stl = _of_weights(stl_loss)
"""`stl_loss` as an objective."""


def dreg_loss(
    output: SplitOutput, x: Examples, hparams: Hparams
) -> tuple[Array, Metrics]:
    """The IWAE bound with doubly reparameterised gradients for the encoder.

    With v_k = w_k / sum_j w_j, the encoder gets

        sum_k ((1 - b) v_k + b v_k^2) d log w_k / dz_k dz_k/dphi

    (no gradient through the parameters of q in log q, as in `stl`) and everything else
    the usual sum_k v_k d log w_k / dtheta. Here b is the kl_weight, at which log q is
    part of log w: the paper's v_k^2 is that of b = 1, and at b = 0 there is no q whose
    gradient could be left out. Both are unbiased for the gradient of the bound; the
    encoder's has a signal-to-noise ratio that rises with K where the plain one's falls.
    Source: Tucker et al. 2019, arXiv:1810.04152, section 3.

    The encoder's parameters must not appear in the prior (as in VampPrior): their
    gradient along that way is left out.

    Args:
        output: a `SplitOutput` with a leading sample axis K.
        x: [B, ...].
        hparams: optionally "kl_weight".

    Returns:
        The loss is minus the bound in value; metrics as those of `bound_objective`.

    Raises:
        TypeError: the model has several latent layers. Their posteriors depend on the
            draws below, and leaving out that dependence would bias the gradient.
    """
    _require_split(output, "dreg")
    if len(output.encoder.latents) > 1:
        raise TypeError("dreg needs a model with one latent layer; use iwae")
    loss, metrics = iwae(output.decoder, x, hparams)
    log_w = _log_w(terms(_freeze_posteriors(output.encoder), x), hparams)
    v = jax.lax.stop_gradient(jax.nn.softmax(log_w, axis=0))
    b = _kl_weight(hparams)
    surrogate = -(((1.0 - b) * v + b * v**2) * log_w).sum(axis=0).mean()
    return with_gradient_of(loss, surrogate), metrics


dreg = _of_weights(dreg_loss, splits_encoder=True, one_layer=True)
"""`dreg_loss` as an objective."""


def piwae(num_groups: int = 1) -> Objective:
    """Partially IWAE: the decoder follows IWAE with all K samples, the encoder MIWAE.

    Source: Rainforth et al. 2018, arXiv:1802.04537, section 5.

    Args:
        num_groups: M; must divide K.

    Returns:
        The objective. The loss is minus the IWAE bound in value; metrics as those of
        `bound_objective`.
    """
    encoder_objective = miwae(num_groups)

    def piwae_loss(
        output: SplitOutput, x: Examples, hparams: Hparams
    ) -> tuple[Array, Metrics]:
        _require_split(output, "piwae")
        loss, metrics = iwae(output.decoder, x, hparams)
        encoder_loss, _ = encoder_objective(output.encoder, x, hparams)
        return with_gradient_of(loss, encoder_loss), metrics

    return _of_weights(piwae_loss, splits_encoder=True)


def _log_w(found: Terms, hparams: Hparams) -> Array:
    """log p(x | z) + kl_weight * (log p(z) - log q(z | x)), nats, [K, B]."""
    if found.log_ratio is None:
        raise TypeError(
            "a Deterministic posterior has no density, so its draws have no weights:"
            " use DiagonalNormal, or the objective elbo"
        )
    return found.log_lik + _kl_weight(hparams) * found.log_ratio


def _kl_weight(hparams: Hparams) -> Array:
    return hparams.get("kl_weight", jnp.ones(()))


def _metrics(found: Terms, bound: Bound) -> Metrics:
    distortion, rate = -found.log_lik.mean(), found.rate.mean()
    return {
        "distortion": distortion,
        "rate": rate,
        "elbo": -(distortion + rate),
        "bound": bound(_log_w(found, {})).mean(),
    }


def _freeze_posteriors(output: VAEOutput) -> VAEOutput:
    """Cuts the gradient through the parameters of q, but not the one through z."""
    frozen = tuple(
        dataclasses.replace(latent, posterior=jax.lax.stop_gradient(latent.posterior))
        for latent in output.latents
    )
    return dataclasses.replace(output, latents=frozen)


def _require_split(output: object, name: str) -> None:
    if not isinstance(output, SplitOutput):
        raise TypeError(
            f"{name} trains encoder and decoder by different gradients and takes a"
            " SplitOutput: give the objective to vae_trainer, or pass the model through"
            " training.split.separate_encoder"
        )
