"""Distributions for rows of a table: columns of several kinds, some of them missing.

They keep the contract of `vae_jax.distributions`, with two more supports: "count"
(0, 1, 2, ...) and "class" (0, ..., C - 1). `Product` and `Masked` are of data that are
no single array: `x` is then a dict, and so is a sample.
"""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jax.scipy.special import gammaln

from vae_jax.distributions.base import (
    LOG_2PI,
    BaseDistribution,
    Distribution,
    flatten_event,
    in_float32,
    sum_event,
)
from vae_jax.errors import ContractError
from vae_jax.keys import plain
from vae_jax.types import Array, Key, PyTree, stream

# From here on three terms of Stirling's series have all the digits of float32.
_LARGE = 8.0


@struct.dataclass
class Categorical(BaseDistribution):
    """Independent values of C classes, P(x = c) = softmax(logits)_c.

    A value is the class's number, an integer (or a float that holds one). There is no
    mean class, so `mean` is that of the one-hot code: the probabilities.
    """

    logits: Array  # [B, ..., C]

    support: ClassVar[str] = "class"

    @property
    def mean(self) -> Array:
        """Probabilities of the classes, [B, ..., C]."""
        return jax.nn.softmax(self.logits)

    def sample(self, key: Key) -> Array:
        """Class numbers, [B, ...], int32."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def log_prob(self, x: Array) -> Array:
        log_p = jax.nn.log_softmax(in_float32(self.logits))
        chosen = jax.nn.one_hot(x.astype(jnp.int32), log_p.shape[-1], dtype=bool)
        each = jnp.where(chosen, log_p, 0.0).sum(axis=-1)
        return sum_event(jnp.where(chosen.any(axis=-1), each, -jnp.inf))


@struct.dataclass
class NegativeBinomial(BaseDistribution):
    """Independent counts with a variance above their mean.

    With m = exp(log_mean) and r = exp(log_concentration) the variance is m + m^2 / r,
    and the limit of large r is the Poisson distribution.

        P(k) = Gamma(k + r) / (Gamma(r) k!) (r / (r + m))^r (m / (r + m))^k.

    Source: Lopez et al. 2018 (scVI), doi:10.1038/s41592-018-0229-2, who use it as
    a decoder's likelihood.
    """

    log_mean: Array  # [B, ...]
    log_concentration: Array  # [B, ...]

    support: ClassVar[str] = "count"

    @property
    def mean(self) -> Array:
        return jnp.exp(self.log_mean)

    def sample(self, key: Key) -> Array:
        """A Poisson draw around a gamma draw, [B, ...], float32."""
        gamma_key, poisson_key = jax.random.split(key)
        concentration = jnp.exp(self.log_concentration)
        gamma = jax.random.gamma(gamma_key, concentration) / concentration
        draws = jax.random.poisson(plain(poisson_key), gamma * self.mean)
        return draws.astype(self.log_mean.dtype)

    def log_prob(self, x: Array) -> Array:
        fields = (self.log_mean, self.log_concentration, x)
        log_mean, log_r, k = (flatten_event(values) for values in fields)
        if not jnp.issubdtype(k.dtype, jnp.inexact):
            k = k.astype(log_mean.dtype)
        log_odds = log_mean - log_r
        zero = -jnp.exp(log_r) * jax.nn.softplus(log_odds)
        some = _log_prob_above_0(jnp.maximum(k, 1.0), jnp.exp(log_r), log_odds)
        return sum_event(jnp.where(k > 0, some, zero))


def _log_prob_above_0(k: Array, r: Array, log_odds: Array) -> Array:
    """log P(k) for k > 0, elementwise.

    The terms of the definition grow like k log k, and their sum would have few digits
    left for large counts. With Stirling's series for each of the three gammas, n = r +
    k and the chances p = r / (r + m) and q = m / (r + m), it is

        -D(r, n p) - D(k, n q) - 1/2 log(2 pi k n / r) + tail(n) - tail(r) - tail(k)

    with the deviances D(a, b) = a log(a / b) - a + b, near 0 where k is near its mean.
    Source: Loader 2000, Fast and accurate computation of binomial probabilities.
    """
    n, p, q = r + k, jax.nn.sigmoid(-log_odds), jax.nn.sigmoid(log_odds)
    apart = k * p - r * q  # k - n q, and n p - r
    return (
        -_deviance(r, n * p, jnp.log(n) - jax.nn.softplus(log_odds), -apart)
        - _deviance(k, n * q, jnp.log(n) - jax.nn.softplus(-log_odds), apart)
        - 0.5 * (jnp.log(k) + jnp.log1p(k / r) + LOG_2PI)
        + (_stirling_tail(n) - _stirling_tail(r))
        - _stirling_tail(k)
    )


def _deviance(a: Array, b: Array, log_b: Array, apart: Array) -> Array:
    """a log(a / b) - apart, where apart = a - b is given, since it may be small."""
    v = apart / (a + b)
    near = jnp.abs(v) < 0.1
    v2 = jnp.where(near, v, 0.0) ** 2
    series = 1 / 3 + v2 * (1 / 5 + v2 * (1 / 7 + v2 * (1 / 9 + v2 / 11)))
    # Of a / b each has its digits where b is no tiny number.
    is_tiny = b < 1e-30
    ratio = jnp.log(a / jnp.where(is_tiny, 1.0, b))
    log_ratio = jnp.where(is_tiny, jnp.log(a) - log_b, ratio)
    return jnp.where(near, apart * v + 2 * a * v * v2 * series, a * log_ratio - apart)


def _stirling_tail(a: Array) -> Array:
    """log Gamma(a) - ((a - 1/2) log a - a + 1/2 log 2 pi), for a > 0."""
    is_large = a > _LARGE  # `maximum` would halve the gradient where they are equal
    large = jnp.where(is_large, a, _LARGE)
    square = large**2
    series = (1 / 12 - (1 / 360 - 1 / (1260 * square)) / square) / large
    small = jnp.where(is_large, _LARGE, a)
    exact = gammaln(small) - (small - 0.5) * jnp.log(small) + small - 0.5 * LOG_2PI
    return jnp.where(is_large, series, exact)


@struct.dataclass
class Product(BaseDistribution):
    """Independent named parts: x is a dict, and log p(x) the sum over the parts.

    Names of x that have no part (a label that the model is given, say) are not
    modelled and don't count.
    """

    parts: Mapping[str, Distribution]

    support: ClassVar[str] = "product"

    @property
    def has_density(self) -> bool:  # type: ignore[override]
        """Whether all parts have a density."""
        return all(part.has_density for part in self.parts.values())

    @property
    def normalized(self) -> bool:  # type: ignore[override]
        """Whether all parts are normalised."""
        return all(part.normalized for part in self.parts.values())

    @property
    def mean(self) -> dict[str, PyTree]:
        """The parts' means."""
        return {name: part.mean for name, part in self.parts.items()}

    def sample(self, key: Key) -> dict[str, PyTree]:
        """A draw of each part; a part's draw does not depend on the others."""
        parts = self.parts.items()
        return {name: part.sample(stream(key, name)) for name, part in parts}

    def log_prob(self, x: Mapping[str, PyTree]) -> Array:
        log_probs = [part.log_prob(x[name]) for name, part in self.parts.items()]
        return jnp.stack(log_probs).sum(axis=0)


@struct.dataclass
class Masked(BaseDistribution):
    """The observed part of x = {"value": [B, E, ...], "observed": [B, E]}.

    E counts the columns of a table or the steps of a sequence. What is not observed is
    left out of log p(x), which then is the exact log-probability of the rest, because
    the parts of `base` are independent given the code. Whatever stands in an unobserved
    place, NaN included, changes neither value nor gradient. Source: Nazabal et al.
    2020 (HI-VAE), arXiv:1807.03653, equation 2.
    """

    base: Distribution  # fields [B, E, ...]

    support: ClassVar[str] = "masked"

    @property
    def has_density(self) -> bool:  # type: ignore[override]
        """Whether `base` has a density."""
        return self.base.has_density

    @property
    def normalized(self) -> bool:  # type: ignore[override]
        """Whether `base` is normalised."""
        return self.base.normalized

    @property
    def mean(self) -> Array:
        """The mean of all values, [B, E, ...]."""
        return self.base.mean

    def sample(self, key: Key) -> dict[str, Array]:
        """Values with nothing missing."""
        value = self.base.sample(key)
        return {"value": value, "observed": jnp.ones(value.shape[:2], bool)}

    def log_prob(self, x: Mapping[str, Array]) -> Array:
        if not self.base.normalized:
            raise ContractError(
                "Masked needs columns that are independent given the code, but those of"
                f" {type(self.base).__name__} share one scale: use another likelihood"
            )
        observed = x["observed"].astype(bool)
        value = x["value"]
        seen = observed.reshape(*observed.shape, *[1] * (value.ndim - 2))
        # 0 lies in every support; a NaN would survive in the gradient of `where`.
        value = jnp.where(seen, value, jnp.zeros((), value.dtype))
        each = jax.vmap(lambda base, v: base.log_prob(v), in_axes=1, out_axes=1)
        return jnp.where(observed, each(self.base, value), 0.0).sum(axis=1)
