"""Distributions of pixels: binary, grey in [0, 1] and 8-bit."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vae_jax.distributions.base import (
    LEVELS,
    BaseDistribution,
    flatten_event,
    in_float32,
    sum_event,
)
from vae_jax.types import Array, Key


def binary_cross_entropy(logits: Array, x: Array) -> Array:
    """-x log p - (1 - x) log(1 - p) with p = sigmoid(logits), elementwise.

    Written as max(l, 0) - x l + log1p(exp(-|l|)): from the logits, never from
    probabilities, so it is exact at logits of +-100, and with one exponential and one
    logarithm it takes about a third of the time of the sum of two log-sigmoids. At a
    logit of 0, where a decoder whose last layer starts at zero begins, the derivatives
    are sigmoid(l) - x and so on, as at all others.

    Args:
        logits: [...].
        x: targets in [0, 1], same shape as the logits.

    Returns:
        Cross entropy in nats, same shape.
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        # Integers and truth values have no tangent for the rule below.
        x = x.astype(logits.dtype)
    return _cross_entropy(logits, x.astype(jnp.result_type(logits, x)))


@jax.custom_jvp
def _cross_entropy(logits: Array, x: Array) -> Array:
    return jnp.maximum(logits, 0) - x * logits + jnp.log1p(jnp.exp(-jnp.abs(logits)))


# JAX's slopes of max(l, 0) and of |l| at 0 are 1/2 and 1: of two different sides, so
# that the sum of the derivatives would be -x there.
_cross_entropy.defjvps(
    lambda tangent, _, logits, x: (jax.nn.sigmoid(logits) - x) * tangent,
    lambda tangent, _, logits, x: -logits * tangent,
)


@struct.dataclass
class Bernoulli(BaseDistribution):
    """Independent binary values with P(x = 1) = sigmoid(logits)."""

    logits: Array  # [B, ...]

    support: ClassVar[str] = "binary"

    @property
    def mean(self) -> Array:
        return jax.nn.sigmoid(self.logits)

    def sample(self, key: Key) -> Array:
        chance = jax.nn.sigmoid(in_float32(self.logits))
        draws = jax.random.bernoulli(key, chance, self.logits.shape)
        return draws.astype(self.logits.dtype)

    def log_prob(self, x: Array) -> Array:
        logits, x = flatten_event(self.logits), flatten_event(x)
        return -sum_event(binary_cross_entropy(logits, x))


@struct.dataclass
class ContinuousBernoulli(BaseDistribution):
    """Density on [0, 1] proportional to p^x (1 - p)^(1 - x), p = sigmoid(logits).

    With logit l the normaliser is C(l) = l / tanh(l / 2) (2 at l = 0). It is the
    likelihood that makes the cross-entropy of grey values a true density.
    Source: Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845, equations 6 to 8.
    """

    logits: Array  # [B, ...]

    support: ClassVar[str] = "unit"

    # Below this the quotients lose digits in float32 and a Taylor series has them all.
    _SMALL: ClassVar[float] = 0.3

    def _safe(self) -> tuple[Array, Array]:
        """Where |logits| is small, and logits that are safe to divide by."""
        logits = in_float32(self.logits)
        small = jnp.abs(logits) < self._SMALL
        return small, jnp.where(small, 1.0, logits)

    @property
    def mean(self) -> Array:
        small, safe = self._safe()
        exact = 0.5 + 0.5 / jnp.tanh(safe / 2) - 1 / safe
        logits = in_float32(self.logits)
        taylor = 0.5 + logits / 12 - logits**3 / 720
        return jnp.where(small, taylor, exact).astype(self.logits.dtype)

    @property
    def log_normalizer(self) -> Array:
        """log C(l), elementwise [B, ...]."""
        small, safe = self._safe()
        exact = jnp.log(jnp.abs(safe)) - jnp.log(jnp.tanh(jnp.abs(safe) / 2))
        square = in_float32(self.logits) ** 2
        taylor = math.log(2.0) + square / 12 - 7 * square**2 / 1440
        return jnp.where(small, taylor + 31 * square**3 / 90720, exact)

    def sample(self, key: Key) -> Array:
        # Inverse CDF, log(1 + u (e^l - 1)) / l, at -|l| where e^l can't overflow;
        # the density of -l is the mirror image of that of l.
        logits = in_float32(self.logits)
        u = jax.random.uniform(key, logits.shape, logits.dtype)
        tiny = jnp.abs(logits) < 1e-3
        rate = -jnp.where(tiny, 1.0, jnp.abs(logits))
        draw = jnp.where(tiny, u, jnp.log1p(u * jnp.expm1(rate)) / rate)
        return jnp.where(logits > 0, 1 - draw, draw).astype(self.logits.dtype)

    def log_prob(self, x: Array) -> Array:
        flat = ContinuousBernoulli(flatten_event(self.logits))
        cross_entropy = binary_cross_entropy(flat.logits, flatten_event(x))
        return sum_event(flat.log_normalizer - cross_entropy)


def discretized_logistic_log_prob(x: Array, mean: Array, log_scale: Array) -> Array:
    """log P of an 8-bit level under a logistic distribution cut into 256 bins.

    Bins have the width 1/255 around the levels k/255; the first and the last reach to
    minus and plus infinity, so the 256 probabilities sum to one. Source: Salimans et
    al. 2017 (PixelCNN++), equation 2, here for pixels in [0, 1].

    Args:
        x: levels in {0, 1/255, ..., 1}, [...].
        mean: location, same unit as x, [...].
        log_scale: log of the logistic scale, same unit, [...].

    Returns:
        log P(x), elementwise [...], nats.
    """
    inverse_scale = jnp.exp(-log_scale)
    upper = (x - mean + 0.5 / (LEVELS - 1)) * inverse_scale
    lower = (x - mean - 0.5 / (LEVELS - 1)) * inverse_scale
    # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)): each factor
    # has an exact logarithm, where the difference itself cancels far from the mean.
    log_upper = jax.nn.log_sigmoid(upper)
    log_lower = jax.nn.log_sigmoid(-lower)
    width = inverse_scale / (LEVELS - 1)
    inside = log_upper + log_lower + jnp.log(-jnp.expm1(-width))
    first = x < 0.5 / (LEVELS - 1)
    last = x > 1 - 0.5 / (LEVELS - 1)
    return jnp.where(first, log_upper, jnp.where(last, log_lower, inside))


def _to_level(values: Array) -> Array:
    """The nearest of the 256 levels in [0, 1]."""
    return jnp.round(jnp.clip(values, 0.0, 1.0) * (LEVELS - 1)) / (LEVELS - 1)


@struct.dataclass
class DiscretizedLogistic(BaseDistribution):
    """Independent 8-bit pixels, each a logistic distribution cut into 256 levels."""

    loc: Array  # [B, H, W, C], in units of x, which is in [0, 1]
    log_scale: Array  # [B, H, W, C]

    support: ClassVar[str] = "8bit"

    @property
    def mean(self) -> Array:
        # Of the logistic before it is cut, clipped to the range of pixels.
        return jnp.clip(self.loc, 0.0, 1.0)

    def sample(self, key: Key) -> Array:
        # Numbers of 16 bits do not have all levels, so draws are float32.
        loc, log_scale = in_float32(self.loc), in_float32(self.log_scale)
        draws = jax.random.logistic(key, loc.shape, loc.dtype)
        return _to_level(loc + jnp.exp(log_scale) * draws)

    def log_prob(self, x: Array) -> Array:
        fields = (flatten_event(values) for values in (x, self.loc, self.log_scale))
        return sum_event(discretized_logistic_log_prob(*fields))


@struct.dataclass
class DiscretizedLogisticMixture(BaseDistribution):
    """8-bit pixels whose channels share a mixture of N logistics (PixelCNN++).

    Given the component n, channel c is a discretised logistic around
    loc[c, n] + sum over d < c of coefficients[c, d, n] * x[d]: blue depends on green
    and red. Source: Salimans et al. 2017, arXiv:1701.05517, section 2.2, here for any
    number of channels and for pixels in [0, 1].
    """

    mixture_logits: Array  # [B, H, W, N]
    loc: Array  # [B, H, W, C, N]
    log_scale: Array  # [B, H, W, C, N]
    coefficients: Array  # [B, H, W, C, C, N]; only d < c is used

    support: ClassVar[str] = "8bit"

    def _locations(self, x: Array) -> Array:
        """Location of each channel given the channels before it, [B, H, W, C, N]."""
        channels = x.shape[-1]
        before = jnp.tril(jnp.ones((channels, channels)), k=-1)
        shift = jnp.einsum("bhwcdn,cd,bhwd->bhwcn", self.coefficients, before, x)
        return self.loc + shift

    @property
    def mean(self) -> Array:
        """That of narrow components: each counts with its location, within [0, 1]."""
        # Locations are linear in the earlier channels, so means follow one another.
        means: list[Array] = []
        for c in range(self.loc.shape[-2]):
            mean = self.loc[..., c, :]
            for d, earlier in enumerate(means):
                mean = mean + self.coefficients[..., c, d, :] * earlier
            means.append(jnp.clip(mean, 0.0, 1.0))
        weights = jax.nn.softmax(self.mixture_logits)[..., None, :]
        return (weights * jnp.stack(means, axis=-2)).sum(axis=-1)

    def sample(self, key: Key) -> Array:
        component_key, noise_key = jax.random.split(key)
        component = jax.random.categorical(component_key, self.mixture_logits)
        chosen = jax.nn.one_hot(component, self.mixture_logits.shape[-1])  # [B,H,W,N]
        loc = jnp.einsum("bhwcn,bhwn->bhwc", self.loc, chosen)
        log_scale = jnp.einsum("bhwcn,bhwn->bhwc", self.log_scale, chosen)
        coefficients = jnp.einsum("bhwcdn,bhwn->bhwcd", self.coefficients, chosen)
        noise = jnp.exp(log_scale) * jax.random.logistic(noise_key, loc.shape)
        pixels: list[Array] = []
        for c in range(loc.shape[-1]):
            value = loc[..., c] + noise[..., c]
            for d, earlier in enumerate(pixels):
                value = value + coefficients[..., c, d] * earlier
            pixels.append(_to_level(value))
        return jnp.stack(pixels, axis=-1)

    def log_prob(self, x: Array) -> Array:
        own = jax.tree.map(in_float32, self)
        per_channel = discretized_logistic_log_prob(
            x[..., None], own._locations(x), own.log_scale
        )
        log_weights = jax.nn.log_softmax(own.mixture_logits)
        return sum_event(
            jax.nn.logsumexp(log_weights + per_channel.sum(axis=-2), axis=-1)
        )
