"""The output of a model, the interface between models and objectives."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from vae_jax.distributions.base import Distribution, Posterior, flatten_event
from vae_jax.distributions.kl import closed_form, kl_divergence
from vae_jax.distributions.normal import DiagonalNormal
from vae_jax.errors import ContractError
from vae_jax.types import Array, Codes, Examples


@struct.dataclass
class Latent:
    """One stochastic layer.

    `prior_depends_on_z` says that the prior was computed from draws that depend on this
    layer's own z, as p(z1 | z2) with z2 ~ q(z2 | z1) is. KL(q, p) in closed form then
    isn't this layer's part of the rate: it holds p fixed where the rate does not.
    """

    z: Array  # [B, ...], drawn from the posterior
    posterior: Posterior  # q(z | x), of codes [B, ...]
    prior: Distribution  # p(z), or p(z | the layers above), of codes [B, ...]
    prior_depends_on_z: bool = struct.field(pytree_node=False, default=False)
    # Axes of z for one draw per example. `note_axes` sets it before a sample axis is
    # added: the shape alone can't distinguish [K, B, D] from codes with a spatial form.
    axes: int | None = struct.field(pytree_node=False, default=None)

    @property
    def has_density(self) -> bool:
        """False for the point mass of a plain autoencoder."""
        return self.posterior.has_density

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether `kl` is exact given the layers below, or a one-sample estimate."""
        if not self.has_density:
            return True
        known = closed_form(self.posterior, self.prior) is not None
        return known and not self.prior_depends_on_z

    @property
    def has_standard_prior(self) -> Array:
        """Whether the prior of each row is N(0, I), bool [B]."""
        if not isinstance(self.prior, DiagonalNormal):
            return jnp.zeros(self.z.shape[0], bool)
        return self.prior.is_standard

    def log_ratio(self) -> Array:
        """log p(z) - log q(z | x), nats, [B]."""
        _refuse_sample_axis((self,), "log_ratio()")
        return self.prior.log_prob(self.z) - self.posterior.log_prob(self.z)

    def kl(self) -> Array:
        """The layer's part of the rate, KL(q || p), nats.

        In closed form where there is one, else the estimate log q(z) - log p(z) from
        the one draw, which is unbiased and can be negative. [B, E] with the E numbers
        of a code where its dimensions separate, as for two normals; [B, 1] where they
        don't.
        """
        _refuse_sample_axis((self,), "kl()")
        if self.has_closed_form_kl:
            kl = kl_divergence(self.posterior, self.prior)
            if jnp.shape(kl)[:1] != self.z.shape[:1]:
                raise ContractError(
                    f"the KL of {type(self.posterior).__name__} to"
                    f" {type(self.prior).__name__} has the shape {jnp.shape(kl)} for"
                    f" {self.z.shape[0]} rows: it must be [B] or [B, ...], with the"
                    " batch axis first"
                )
            return kl.reshape(kl.shape[0], -1)
        if isinstance(self.posterior, DiagonalNormal) and isinstance(
            self.prior, DiagonalNormal
        ):
            log_q = self.posterior.log_prob_per_dimension(self.z)
            return log_q - self.prior.log_prob_per_dimension(self.z)
        return -self.log_ratio()[:, None]


@struct.dataclass
class VAEOutput:
    """p(x | z) and the latent layers, from the one next to the data upwards.

    Its methods are of one draw per example. What an objective is given has an axis K of
    samples in front of every array: there `terms` maps them over it, and a method
    called without a map raises a ContractError.
    """

    likelihood: Distribution  # p(x | z), fields [B, ...]
    latents: tuple[Latent, ...]  # L of them
    # What else a model measures for an objective of its own, each [B] or [B, ...].
    extras: Mapping[str, Array] = struct.field(default_factory=dict)

    @property
    def codes(self) -> Codes:
        """z of each layer."""
        return tuple(latent.z for latent in self.latents)

    @property
    def has_density(self) -> bool:
        """Whether an ELBO exists: no layer is a point mass."""
        return all(latent.has_density for latent in self.latents)

    def log_lik(self, x: Examples) -> Array:
        """log p(x | z), nats, [B]."""
        _refuse_sample_axis(self.latents, "log_lik(x)")
        return self.likelihood.log_prob(x)

    def rate(self) -> Array:
        """Sum of the layers' KL, nats, [B]."""
        _refuse_sample_axis(self.latents, "rate()")
        return jnp.stack([lat.kl().sum(axis=1) for lat in self.latents]).sum(axis=0)

    def log_ratio(self) -> Array:
        """Sum of the layers' log p(z) - log q(z), nats, [B]."""
        _refuse_sample_axis(self.latents, "log_ratio()")
        return jnp.stack([lat.log_ratio() for lat in self.latents]).sum(axis=0)

    def log_w(self, x: Examples) -> Array:
        """log p(x, z) - log q(z | x), nats, [B]: the log importance weight."""
        return self.log_lik(x) + self.log_ratio()


@struct.dataclass
class SplitOutput:
    """One output, twice: for objectives that train two halves of a model differently.

    Both have the same values. Gradients reach the parameters of the encoder through the
    first only, and all other parameters through the second only. `training.split` makes
    it from any model.
    """

    encoder: VAEOutput
    decoder: VAEOutput


class Terms(NamedTuple):
    """The terms of losses in nats, for each example and sample, [K, B].

    The log importance weight is log_lik + log_ratio. A plain autoencoder has no
    log_ratio (None), and its rate is 0.
    """

    log_lik: Array  # log p(x | z)
    rate: Array  # KL(q || p), summed over layers; see `Latent.kl`
    log_ratio: Array | None  # log p(z) - log q(z | x), summed over layers


def terms(output: VAEOutput, x: Examples) -> Terms:
    """The terms of an output that has a sample axis, as an objective is given it.

    Args:
        output: what the model returned, with a leading sample axis K.
        x: the batch, [B, ...], or whatever the likelihood is a distribution of.

    Returns:
        log_lik, rate and log_ratio, each [K, B].
    """

    def of_one_sample(one: VAEOutput) -> Terms:
        log_ratio = one.log_ratio() if one.has_density else None
        return Terms(one.log_lik(x), one.rate(), log_ratio)

    return jax.vmap(of_one_sample)(output)


def flat_moments(posterior: Posterior) -> tuple[Array, Array]:
    """Mean and variance of a posterior, one row per example, both [B, E]."""
    return flatten_event(posterior.mean), flatten_event(posterior.variance)


def note_axes(output: Any) -> Any:
    """The output of one draw per example, which remembers how many axes its codes have.

    Once `vmap` has added a sample axis, its methods can tell that it is there.
    """
    if isinstance(output, SplitOutput):
        return SplitOutput(note_axes(output.encoder), note_axes(output.decoder))
    noted = tuple(dataclasses.replace(lat, axes=lat.z.ndim) for lat in output.latents)
    return dataclasses.replace(output, latents=noted)


def _refuse_sample_axis(latents: tuple[Latent, ...], method: str) -> None:
    """Raises where a method of one draw would take the axis K for that of examples."""
    for latent in latents:
        if latent.axes is not None and latent.z.ndim > latent.axes:
            raise ContractError(
                f"{method} of an output with a sample axis (z has the shape"
                f" {latent.z.shape}, K samples first): use vae_jax.terms(output, x), or"
                f" jax.vmap(lambda out: out.{method})(output)"
            )
