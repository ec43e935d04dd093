"""p(z). A prior is a module that gives the distribution of a batch of codes.

`BY_NAME` holds the priors that a config can name; a module of your own adds a line to
it.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.distributions import DiagonalNormal, bound_log_std
from vae_jax.distributions.mixtures import NormalMixture
from vae_jax.distributions.quantized import Quantized, UniformCodes
from vae_jax.ranges import COUNT, require
from vae_jax.types import Array, Key


class StandardNormal(nn.Module):
    """p(z) = N(0, I), without parameters."""

    latent_dim: int

    def __post_init__(self) -> None:
        require(COUNT, latent_dim=self.latent_dim)
        super().__post_init__()

    def __call__(self, batch_size: int) -> DiagonalNormal:  # fields [B, D]
        zeros = jnp.zeros((batch_size, self.latent_dim))
        return DiagonalNormal(mean=zeros, log_std=zeros)


class LabelNormal(nn.Module):
    """p(z | y): a learned diagonal normal for each label y, for conditional models.

    All start at N(0, I); scales are kept within e^-10 and e^10.
    """

    latent_dim: int
    num_classes: int

    def __post_init__(self) -> None:
        require(COUNT, latent_dim=self.latent_dim, num_classes=self.num_classes)
        super().__post_init__()

    @nn.compact
    def __call__(self, batch_size: int, label: Array) -> DiagonalNormal:
        """Labels 0, ..., C - 1 as [B] -> fields [B, D]."""
        shape = (self.num_classes, self.latent_dim)
        mean = self.param("mean", nn.initializers.zeros, shape)
        raw_log_std = self.param("log_std", nn.initializers.zeros, shape)
        return DiagonalNormal(mean[label], bound_log_std(raw_log_std[label]))


class MixturePrior(nn.Module):
    """A mixture of C normals whose weights, means and scales are learned.

    It starts with equal weights, means from N(0, I) and unit scales; scales are kept
    within e^-10 and e^10. Source: Tomczak and Welling 2018, arXiv:1705.07120,
    section 4 ("MoG").
    """

    latent_dim: int
    num_components: int = 500

    def __post_init__(self) -> None:
        require(COUNT, latent_dim=self.latent_dim, num_components=self.num_components)
        super().__post_init__()

    @nn.compact
    def __call__(self, batch_size: int) -> NormalMixture:
        shape = (self.num_components, self.latent_dim)
        logits = self.param("logits", nn.initializers.zeros, shape[:1])
        mean = self.param("mean", nn.initializers.normal(1.0), shape)
        raw_log_std = self.param("log_std", nn.initializers.zeros, shape)
        return NormalMixture(
            log_weights=jax.nn.log_softmax(logits),
            component_mean=mean,
            component_log_std=bound_log_std(raw_log_std),
            batch_size=batch_size,
        )


class VampPrior(nn.Module):
    """1/C sum_c q(z | u_c): the posterior's mixture over C learned images u_c.

    The encoder is that of the model, given to both, and its parameters exist once:

        encoder = nn.Sequential([GatedMLPEncoder(), DiagonalNormalPosterior(40)])
        VAE(encoder=encoder, prior=VampPrior(encoder, (28, 28, 1)), decoder=...)

    Pixels of the pseudo-inputs are clipped to [0, 1]. Source: Tomczak and Welling 2018,
    arXiv:1705.07120, equation 9; the start N(0.05, 0.01^2) and the clipping are those
    of their code.
    """

    needs_posterior: ClassVar[type] = DiagonalNormal  # components of a known density
    contains_encoder: ClassVar[bool] = True
    needs_pixels: ClassVar[bool] = True  # x must lie in [0, 1], as pseudo-inputs do

    encoder: nn.Module  # x [B, ...] -> DiagonalNormal
    image_shape: Sequence[int]  # (H, W, C)
    num_components: int = 500

    def __post_init__(self) -> None:
        require(COUNT, num_components=self.num_components)
        super().__post_init__()

    def setup(self) -> None:
        shape = (self.num_components, *self.image_shape)
        self.pseudo_inputs = self.param("pseudo_inputs", _dark, shape)

    def __call__(self, batch_size: int) -> NormalMixture:
        """The mixture.

        Raises:
            TypeError: the encoder's posterior is no diagonal normal.
        """
        posterior = self.encoder(jnp.clip(self.pseudo_inputs, 0.0, 1.0))
        if not isinstance(posterior, DiagonalNormal):
            raise TypeError(
                "VampPrior needs a posterior with components of a known density,"
                f" DiagonalNormal, not {type(posterior).__name__}"
            )
        return NormalMixture(
            log_weights=jnp.full(self.num_components, -jnp.log(self.num_components)),
            component_mean=posterior.mean,
            component_log_std=posterior.log_std,
            batch_size=batch_size,
        )


class UniformPrior(nn.Module):
    """p(z) of discrete codes: each one alike, at each site by itself.

    The encoder is that of the model and is asked for its codebook and for the shape of
    a code only: neither depends on the image, so it is given an empty one.
    """

    support: ClassVar[str] = UniformCodes.support
    contains_encoder: ClassVar[bool] = True

    encoder: nn.Module  # x [B, ...] -> Quantized
    image_shape: Sequence[int]  # (H, W, C)

    def __call__(self, batch_size: int) -> UniformCodes:
        """The distribution of `batch_size` codes.

        Raises:
            TypeError: the encoder's posterior is not of discrete codes.
        """
        posterior = self.encoder(jnp.zeros((1, *self.image_shape)))
        if not isinstance(posterior, Quantized):
            raise TypeError(
                "UniformPrior needs a posterior of discrete codes, Quantized, not"
                f" {type(posterior).__name__}"
            )
        return UniformCodes(
            codebook=posterior.codebook,
            batch_size=batch_size,
            sites=posterior.index.shape[1:],
        )


def _dark(key: Key, shape: Sequence[int]) -> Array:
    return 0.05 + 0.01 * jax.random.normal(key, shape)


BY_NAME: dict[str, Callable[..., nn.Module]] = {
    "standard_normal": StandardNormal,
    "label_normal": LabelNormal,
    "mixture": MixturePrior,
    "vamp": VampPrior,
    "uniform": UniformPrior,
}
"""The priors by the names that a config calls them."""
