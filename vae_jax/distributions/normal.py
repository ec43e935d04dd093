"""Normal and Laplace distributions, and the point mass of an autoencoder."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vae_jax.distributions.base import (
    LOG_2PI,
    BaseDistribution,
    absolute,
    flatten_event,
    in_float32,
    sum_event,
)
from vae_jax.types import Array, Key


@struct.dataclass
class DiagonalNormal(BaseDistribution):
    """Normal with independent dimensions, N(mean, exp(log_std)^2)."""

    mean: Array  # [B, ...]
    log_std: Array  # [B, ...]

    is_factorised: ClassVar[bool] = True

    @classmethod
    def standard_like(cls, z: Array) -> "DiagonalNormal":
        """N(0, I) for codes of the shape of z."""
        return cls(mean=jnp.zeros_like(z), log_std=jnp.zeros_like(z))

    @property
    def std(self) -> Array:
        return jnp.exp(self.log_std)

    @property
    def variance(self) -> Array:
        return jnp.exp(2.0 * self.log_std)

    @property
    def is_standard(self) -> Array:
        """Whether each row is N(0, I), bool [B]."""
        return ~flatten_event((self.mean != 0) | (self.log_std != 0)).any(axis=1)

    def sample(self, key: Key, temperature: float = 1.0) -> Array:
        """Reparameterised draw, mean + temperature * std * eps with eps ~ N(0, I)."""
        mean, log_std = in_float32(self.mean), in_float32(self.log_std)
        eps = jax.random.normal(key, mean.shape, mean.dtype)
        draw = mean + temperature * jnp.exp(log_std) * eps
        return draw.astype(self.mean.dtype)

    def log_prob(self, x: Array) -> Array:
        return self.log_prob_per_dimension(x).sum(axis=1)

    def log_prob_per_dimension(self, x: Array) -> Array:
        """Log density of each dimension, nats, [B, E]."""
        log_std = flatten_event(self.log_std)
        difference = flatten_event(x) - flatten_event(self.mean)
        standardized = difference * jnp.exp(-log_std)
        return -0.5 * (standardized**2 + LOG_2PI) - log_std


@struct.dataclass
class Deterministic(BaseDistribution):
    """A point mass at `mean`: the code of a plain autoencoder.

    It has no density: `log_prob` raises, and its KL divergence to any density is
    infinite. An autoencoder's loss has no KL term, so `kl_divergence` counts it as
    zero; evaluation reports neither a rate nor an ELBO for it.
    """

    mean: Array  # [B, ...]

    has_density: ClassVar[bool] = False

    @property
    def std(self) -> Array:
        return jnp.zeros_like(self.mean)

    @property
    def variance(self) -> Array:
        return jnp.zeros_like(self.mean)

    def sample(self, key: Key) -> Array:
        del key  # nothing is drawn
        return self.mean

    def log_prob(self, x: Array) -> Array:
        raise TypeError("a Deterministic posterior has no density: use DiagonalNormal")


@struct.dataclass
class OptimalNormal(BaseDistribution):
    """Normal whose scale is the best one for each example (sigma-VAE).

    log N(x; mean, s^2) at s^2 = mean squared error of that example, which is
    -n/2 (log(2 pi s^2) + 1) for n pixels. The scale depends on x, so this is a profile
    likelihood, not a density: it trains well and needs no tuning, but an ELBO or NLL
    made with it can't be compared with another model's. Source: Rybkin et al. 2021,
    arXiv:2006.13202, section 4.2, with one variance per image.
    """

    mean: Array  # [B, ...]

    normalized: ClassVar[bool] = False

    # A perfect fit would make the density infinite: half an 8-bit level at the least.
    _MIN_STD: ClassVar[float] = 0.5 / 255

    def sample(self, key: Key) -> Array:
        raise TypeError(
            "the optimal scale depends on x, so nothing can be drawn from it;"
            " show the mean, or train with scale='learned'"
        )

    def log_prob(self, x: Array) -> Array:
        squared_error = (flatten_event(x) - flatten_event(self.mean)) ** 2
        count = squared_error.shape[1]
        variance = sum_event(squared_error) / count
        variance = jnp.maximum(variance, self._MIN_STD**2)
        error = sum_event(squared_error) / variance
        return -0.5 * (count * (LOG_2PI + jnp.log(variance)) + error)


@struct.dataclass
class Laplace(BaseDistribution):
    """Independent Laplace values with density exp(-|x - mean| / scale) / (2 scale)."""

    mean: Array  # [B, ...]
    log_scale: Array  # [B, ...]

    def sample(self, key: Key) -> Array:
        mean, log_scale = in_float32(self.mean), in_float32(self.log_scale)
        draws = jax.random.laplace(key, mean.shape, mean.dtype)
        return (mean + jnp.exp(log_scale) * draws).astype(self.mean.dtype)

    def log_prob(self, x: Array) -> Array:
        log_scale = flatten_event(self.log_scale)
        distance = absolute(flatten_event(x) - flatten_event(self.mean))
        return -sum_event(distance * jnp.exp(-log_scale) + log_scale + math.log(2.0))
