"""Encoder features -> q(z | x). Each is the last part of an encoder.

`distribution` is the class that a call gives. Posteriors of discrete codes are in
`vae_jax.quantizers`. `BY_NAME` holds the posteriors that a
config can name; a module of your own adds a line to it.
"""

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn

from vae_jax.distributions import Deterministic, DiagonalNormal, bound_log_std
from vae_jax.distributions.flows import CouplingFlow
from vae_jax.quantizers.scalar import FSQPosterior, LFQPosterior
from vae_jax.quantizers.vector import VQPosterior
from vae_jax.ranges import COUNT, LAYERS, require
from vae_jax.types import Array


class DiagonalNormalPosterior(nn.Module):
    """q(z | x) = N(mean, exp(log_std)^2), both linear in the features.

    `log_std` is kept within (-10, 10): see `distributions.bound_log_std`.
    Source: Kingma and Welling 2014, arXiv:1312.6114, equation 9.
    """

    distribution: ClassVar[type] = DiagonalNormal

    latent_dim: int

    def __post_init__(self) -> None:
        require(COUNT, latent_dim=self.latent_dim)
        super().__post_init__()

    @nn.compact
    def __call__(self, features: Array) -> DiagonalNormal:  # [B, F] -> fields [B, D]
        return DiagonalNormal(
            mean=nn.Dense(self.latent_dim, name="mean")(features),
            log_std=bound_log_std(nn.Dense(self.latent_dim, name="log_std")(features)),
        )


class DeterministicPosterior(nn.Module):
    """A point instead of a distribution: the one part that makes an autoencoder."""

    distribution: ClassVar[type] = Deterministic

    latent_dim: int

    def __post_init__(self) -> None:
        require(COUNT, latent_dim=self.latent_dim)
        super().__post_init__()

    @nn.compact
    def __call__(self, features: Array) -> Deterministic:  # [B, F] -> mean [B, D]
        return Deterministic(mean=nn.Dense(self.latent_dim, name="mean")(features))


class CouplingFlowPosterior(nn.Module):
    """A diagonal normal followed by affine couplings: see `flows.CouplingFlow`.

    The layers see the features through a linear map each. They start near the identity,
    so that training starts as that of a `DiagonalNormalPosterior`.
    """

    distribution: ClassVar[type] = CouplingFlow

    latent_dim: int
    num_layers: int = 4
    hidden_dim: int = 100

    def __post_init__(self) -> None:
        require(COUNT, latent_dim=self.latent_dim, hidden_dim=self.hidden_dim)
        require(LAYERS, num_layers=self.num_layers)
        super().__post_init__()

    @nn.compact
    def __call__(self, features: Array) -> CouplingFlow:  # [B, F] -> fields [B, ...]
        layers, hidden, dim = self.num_layers, self.hidden_dim, self.latent_dim
        base = DiagonalNormalPosterior(dim, name="base")(features)
        context = nn.Dense(layers * hidden, name="context")(features)
        per_layer = nn.initializers.variance_scaling(
            1.0, "fan_in", "normal", batch_axis=0
        )
        almost_zero = nn.initializers.normal(1e-3)
        return CouplingFlow(
            base=base,
            context=context.reshape(-1, layers, hidden),
            weights_in=self.param("weights_in", per_layer, (layers, dim, hidden)),
            weights_out=self.param(
                "weights_out", almost_zero, (layers, hidden, 2 * dim)
            ),
            bias_out=self.param("bias_out", nn.initializers.zeros, (layers, 2 * dim)),
        )


BY_NAME: dict[str, Callable[..., nn.Module]] = {
    "diagonal_normal": DiagonalNormalPosterior,
    "deterministic": DeterministicPosterior,
    "coupling_flow": CouplingFlowPosterior,
    "fsq": FSQPosterior,
    "vq": VQPosterior,
    "lfq": LFQPosterior,
}
"""The posteriors by the names that a config calls them."""
