"""Decoder features -> p(x | z). Each is the last part of a decoder.

`num_features(channels)` says how many numbers per pixel the decoder must give; calling
the module with features [B, ..., F] gives a distribution over x [B, ..., C], and
`support` says over which values (see `distributions.base`). `BY_NAME` holds those that
a config can name; a module of your own adds a line to it.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import flax.linen as nn
import jax.numpy as jnp

from vae_jax import distributions as dist
from vae_jax.distributions import tabular
from vae_jax.errors import ConfigError, ContractError, choose
from vae_jax.ranges import COUNT, POSITIVE, require
from vae_jax.types import Array

Scale = Literal["fixed", "learned", "per_pixel", "optimal"]

# PixelCNN++ bounds log_scale at -7 for pixels in [-1, 1]; ours are in [0, 1].
MIN_LOG_SCALE = -7.0 - 0.6931
# Flat over all pixels long before; exp(-log_scale) would underflow to 0 past 87.
MAX_LOG_SCALE = dist.LOG_STD_BOUND
FIXED_BOUND = 40.0  # of the log of a fixed scale: its square must be a float32


class BernoulliLikelihood(nn.Module):
    """Binary pixels, features are the logits."""

    support: ClassVar[str] = dist.Bernoulli.support

    def num_features(self, channels: int) -> int:
        return channels

    def __call__(self, features: Array) -> dist.Bernoulli:
        return dist.Bernoulli(logits=features)


class ContinuousBernoulliLikelihood(nn.Module):
    """Grey values in [0, 1], features are the logits."""

    support: ClassVar[str] = dist.ContinuousBernoulli.support

    def num_features(self, channels: int) -> int:
        return channels

    def __call__(self, features: Array) -> dist.ContinuousBernoulli:
        return dist.ContinuousBernoulli(logits=features)


class _LocationScale(nn.Module):
    """Splits the features into a location and a log scale.

    scale: "fixed" (the constant `scale_value`), "learned" (one parameter for all
    pixels, starting at `scale_value`) or "per_pixel" (predicted by the decoder). The
    log scale is kept within (-10, 10): see `distributions.bound_log_std`.
    """

    scales: ClassVar[tuple[str, ...]] = ("fixed", "learned", "per_pixel")

    scale: Scale = "learned"
    scale_value: float = 1.0

    def __post_init__(self) -> None:
        choose(self.scales, "scale", self.scale)
        require(POSITIVE, scale_value=self.scale_value)
        # Beyond its bounds the one can't begin, and with the other float32 ends.
        bounds = {"learned": dist.LOG_STD_BOUND, "fixed": FIXED_BOUND}
        bound = bounds.get(self.scale, math.inf)
        if abs(math.log(self.scale_value)) >= bound:
            raise ConfigError(
                f"scale_value={self.scale_value}: must be between e^-{bound:g} and"
                f" e^{bound:g} with scale={self.scale}"
            )
        super().__post_init__()

    def num_features(self, channels: int) -> int:
        return 2 * channels if self.scale == "per_pixel" else channels

    @nn.compact
    def _split(self, features: Array) -> tuple[Array, Array]:
        if self.scale == "per_pixel":
            mean, raw = jnp.split(features, 2, axis=-1)
            return mean, dist.bound_log_std(raw)
        log_scale = jnp.log(jnp.float32(self.scale_value))
        if self.scale == "learned":
            bound = dist.LOG_STD_BOUND
            # The inverse of bound_log_std, so that the start is exactly scale_value.
            start = bound * math.atanh(math.log(self.scale_value) / bound)
            raw = self.param("log_scale", lambda key: jnp.float32(start))
            log_scale = dist.bound_log_std(raw)
        return features, jnp.broadcast_to(log_scale, features.shape)


class NormalLikelihood(_LocationScale):
    """Real values around the features.

    A fixed scale s gives the squared error divided by 2 s^2: s^2 plays the part of a KL
    weight. Prefer "learned" or "optimal" (see `distributions.OptimalNormal`). Source:
    Rybkin et al. 2021, arXiv:2006.13202.
    """

    support: ClassVar[str] = dist.DiagonalNormal.support
    scales: ClassVar[tuple[str, ...]] = (*_LocationScale.scales, "optimal")

    def __call__(self, features: Array) -> dist.Distribution:
        if self.scale == "optimal":
            return dist.OptimalNormal(mean=features)
        mean, log_std = self._split(features)
        return dist.DiagonalNormal(mean=mean, log_std=log_std)


class LaplaceLikelihood(_LocationScale):
    """Real values around the features, with heavier tails than the normal's."""

    support: ClassVar[str] = dist.Laplace.support

    def __call__(self, features: Array) -> dist.Laplace:
        mean, log_scale = self._split(features)
        return dist.Laplace(mean=mean, log_scale=log_scale)


class LogisticLikelihood(nn.Module):
    """8-bit pixels: a discretised logistic, location and scale per pixel.

    The log scale is kept in [-7.69, 10]; the least is a ninth of a level.
    """

    support: ClassVar[str] = dist.DiscretizedLogistic.support

    def num_features(self, channels: int) -> int:
        return 2 * channels

    def __call__(self, features: Array) -> dist.DiscretizedLogistic:
        loc, log_scale = jnp.split(features, 2, axis=-1)
        # Shifted so that features of zero mean mid-grey and a wide distribution.
        return dist.DiscretizedLogistic(
            loc=loc + 0.5,
            log_scale=jnp.clip(log_scale - 2.0, MIN_LOG_SCALE, MAX_LOG_SCALE),
        )


class LogisticMixtureLikelihood(nn.Module):
    """8-bit pixels: a mixture of discretised logistics, channels in order.

    Needs N (1 + 2 C + C (C - 1) / 2) features per pixel: 10 N for colour.
    """

    support: ClassVar[str] = dist.DiscretizedLogisticMixture.support

    num_components: int = 10

    def __post_init__(self) -> None:
        require(COUNT, num_components=self.num_components)
        super().__post_init__()

    def num_features(self, channels: int) -> int:
        per_component = 1 + 2 * channels + channels * (channels - 1) // 2
        return self.num_components * per_component

    def __call__(self, features: Array) -> dist.DiscretizedLogisticMixture:
        n = self.num_components
        by_features = {self.num_features(c): c for c in range(1, 99)}
        if (channels := by_features.get(features.shape[-1])) is None:
            raise ContractError(
                f"features of shape {features.shape} for a mixture of {n} logistics:"
                " the last axis must have num_features(C) numbers for C channels,"
                f" {self.num_features(1)} for one and {self.num_features(3)} for three"
            )
        parts = features.reshape(*features.shape[:-1], -1, n)  # [B, H, W, 1+2C+..., N]
        loc = parts[..., 1 : 1 + channels, :] + 0.5
        log_scale = parts[..., 1 + channels : 1 + 2 * channels, :] - 2.0
        flat = jnp.tanh(parts[..., 1 + 2 * channels :, :])
        coefficients = jnp.zeros((*loc.shape[:-1], channels, n), features.dtype)
        rows, columns = jnp.tril_indices(channels, k=-1)
        coefficients = coefficients.at[..., rows, columns, :].set(flat)
        return dist.DiscretizedLogisticMixture(
            mixture_logits=parts[..., 0, :],
            loc=loc,
            log_scale=jnp.clip(log_scale, MIN_LOG_SCALE, MAX_LOG_SCALE),
            coefficients=coefficients,
        )


class CategoricalLikelihood(nn.Module):
    """Classes 0, ..., C - 1, features are the logits of each value's classes."""

    support: ClassVar[str] = tabular.Categorical.support

    num_classes: int

    def __post_init__(self) -> None:
        require(COUNT, num_classes=self.num_classes)
        super().__post_init__()

    def num_features(self, channels: int) -> int:
        return channels * self.num_classes

    def __call__(self, features: Array) -> tabular.Categorical:
        shape = (*features.shape[:-1], -1, self.num_classes)
        return tabular.Categorical(logits=features.reshape(shape))


class NegativeBinomialLikelihood(nn.Module):
    """Counts, features are the logs of their means.

    The concentration, which says how far the variance exceeds the mean, is one
    parameter per column; its log is kept within (-10, 10) and starts at 0.
    """

    support: ClassVar[str] = tabular.NegativeBinomial.support

    def num_features(self, channels: int) -> int:
        return channels

    @nn.compact
    def __call__(self, features: Array) -> tabular.NegativeBinomial:
        columns = features.shape[-1:]
        raw = self.param("log_concentration", nn.initializers.zeros, columns)
        log_concentration = dist.bound_log_std(raw)
        log_concentration = log_concentration.reshape(*[1] * (features.ndim - 1), -1)
        return tabular.NegativeBinomial(
            log_mean=features,
            log_concentration=jnp.broadcast_to(log_concentration, features.shape),
        )


class MaskedLikelihood(nn.Module):
    """Any likelihood, of data that are partly missing: see `tabular.Masked`."""

    likelihood: nn.Module

    def num_features(self, channels: int) -> int:
        return self.likelihood.num_features(channels)

    def __call__(self, features: Array) -> tabular.Masked:
        return tabular.Masked(base=self.likelihood(features))


class ProductLikelihood(nn.Module):
    """Named parts, each with a likelihood and a number of columns.

        head = ProductLikelihood(
            {
                "income": (NormalLikelihood(), 3),
                "region": (CategoricalLikelihood(num_classes=5), 1),
            }
        )
        nn.Sequential([MLPDecoder((head.num_features(),)), head])

    x is then {"income": [B, 3], "region": [B, 1]}: see `tabular.Product`.
    """

    parts: Mapping[str, tuple[nn.Module, int]]

    def num_features(self, channels: int = 1) -> int:
        """Features for all parts; `channels` multiplies each part's columns."""
        return sum(self._sizes(channels))

    def _sizes(self, channels: int = 1) -> list[int]:
        return [h.num_features(channels * count) for h, count in self.parts.values()]

    def __call__(self, features: Array) -> tabular.Product:  # [B, F]
        cuts = list(itertools.accumulate(self._sizes()))[:-1]
        pieces = jnp.split(features, cuts, axis=-1)
        heads = [head for head, _ in self.parts.values()]
        named = zip(self.parts, heads, pieces, strict=True)
        return tabular.Product({name: head(piece) for name, head, piece in named})


BY_NAME: dict[str, Callable[..., nn.Module]] = {
    "bernoulli": BernoulliLikelihood,
    "continuous_bernoulli": ContinuousBernoulliLikelihood,
    "normal": NormalLikelihood,
    "laplace": LaplaceLikelihood,
    "logistic": LogisticLikelihood,
    "logistic_mixture": LogisticMixtureLikelihood,
}
"""The likelihoods of images by the names that a config calls them."""
