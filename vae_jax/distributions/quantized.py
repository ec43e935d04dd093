"""Discrete codes: each site of a code holds one of C vectors of a codebook.

A code z is [B, ..., d]: the sites, such as 49 of them or 7 x 7, and the d numbers of
each. Every quantiser gives q(z | x) in this form, so that objectives, measures and
priors need not know which one it was.
"""

import math
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from flax import struct

from vae_jax.distributions.base import BaseDistribution, flatten_event
from vae_jax.distributions.kl import register_kl
from vae_jax.errors import ConfigError
from vae_jax.types import Array, Key

_TINY = jnp.finfo(jnp.float32).tiny


@struct.dataclass
class Quantized(BaseDistribution):
    """q(z | x): a probability mass of 1 on one code at each site.

    Unlike a point in a continuous space, this has a probability: `log_prob` is 0 at its
    own code, so that the rate -log p(z) is what the code costs and the ELBO is a bound
    of log p(x), comparable with that of any other model.
    """

    mean: Array  # [B, ..., d], the code; its gradient goes straight through to `before`
    index: Array  # [B, ...] int32, which of the C codes
    before: Array  # [B, ..., d], what was quantised
    codebook: Array  # [C, d]

    support: ClassVar[str] = "code"

    @classmethod
    def straight_through(cls, before: Array, index: Array, codebook: Array) -> Self:
        """The codes of these indices; to the gradient, quantising is the identity.

        Written so that `mean` is the code exactly, to the last bit: before + (code -
        before) would not be. Source: Bengio et al. 2013, arXiv:1308.3432.

        Args:
            before: what was quantised, [B, ..., d].
            index: which of the codes, [B, ...].
            codebook: all codes, [C, d].
        """
        codebook = jax.lax.stop_gradient(codebook)
        no_value = before - jax.lax.stop_gradient(before)  # 0, with the gradient 1
        return cls(
            mean=codebook[index] + no_value,
            index=index,
            before=before,
            codebook=codebook,
        )

    @property
    def variance(self) -> Array:
        return jnp.zeros_like(self.mean)

    def sample(self, key: Key) -> Array:
        del key  # nothing is drawn
        return self.mean

    def log_prob(self, x: Array) -> Array:
        """0 where x is the code, minus infinity elsewhere; nats, [B]."""
        same = flatten_event(x == self.mean).all(axis=1)
        return jnp.where(same, 0.0, -jnp.inf)

    def entropies(self, inverse_temperature: float) -> tuple[Array, Array]:
        """Entropies of a soft assignment of what was quantised to the codes.

        p(c | v) is proportional to exp(-inverse_temperature |v - c|^2).

        Args:
            inverse_temperature: larger is nearer to the hard assignment.

        Returns:
            The entropy of p(c | v) at each site, [B, ...], and that of the mean of
            p(c | v) over all examples and sites, []; nats.
        """
        logits = -inverse_temperature * _distances(self.before, self.codebook)
        log_p = jax.nn.log_softmax(logits)
        p = jnp.exp(log_p)
        mean = p.reshape(-1, p.shape[-1]).mean(axis=0)
        return -(p * log_p).sum(axis=-1), _entropy(mean)


@struct.dataclass
class QuantizedBits(Quantized):
    """`Quantized` for the codebook of all 2^d vectors of d signs, -1 or 1.

    Bit k of an index is 1 where number k of the vector is 1.
    """

    def entropies(self, inverse_temperature: float) -> tuple[Array, Array]:
        """The same numbers as of `Quantized`, without an array over sites and codes.

        p(c | v) is a product over bits, P(bit k is 1) = sigmoid(4 inverse_temperature
        v_k): an entropy is a sum over bits. The mean of p(c | v) over N sites is a
        matrix product [2^a, N] x [N, 2^(d - a)] of the first a bits and the others.
        Source: Yu et al. 2024, arXiv:2310.05737, equation 5, for the factorisation.
        """
        logits = 4.0 * inverse_temperature * self.before
        each = jax.nn.softplus(logits) - logits * jax.nn.sigmoid(logits)
        logits = logits.reshape(-1, logits.shape[-1])
        half = logits.shape[-1] // 2
        first, second = _bit_products(logits[:, :half]), _bit_products(logits[:, half:])
        mean = jnp.matmul(first.T, second, precision="highest") / len(logits)
        return each.sum(axis=-1), _entropy(mean)


@struct.dataclass
class UniformCodes(BaseDistribution):
    """p(z): each of the C codes with probability 1/C, at each site by itself."""

    codebook: Array  # [C, d]
    batch_size: int = struct.field(pytree_node=False)
    sites: tuple[int, ...] = struct.field(pytree_node=False)  # (49,) or (7, 7)

    support: ClassVar[str] = "code"

    @property
    def mean(self) -> Array:  # [B, ..., d]
        mean = self.codebook.mean(axis=0)
        return jnp.broadcast_to(mean, (self.batch_size, *self.sites, *mean.shape))

    def sample(self, key: Key, temperature: float = 1.0) -> Array:
        """One code per row and site, [B, ..., d].

        Raises:
            ConfigError: a temperature other than 1: all codes are equally likely.
        """
        if isinstance(temperature, jax.core.Tracer) or temperature != 1.0:
            raise ConfigError(
                f"temperature={temperature}: must be 1 for codes that are all equally"
                " likely"
            )
        shape = (self.batch_size, *self.sites)
        index = jax.random.randint(key, shape, 0, len(self.codebook))
        return self.codebook[index]

    def log_prob(self, x: Array) -> Array:
        """Minus the number of sites times log C, nats, [B]; x is made of codes."""
        nats = math.prod(self.sites) * math.log(len(self.codebook))
        return jnp.full(x.shape[0], -nats)


@register_kl(Quantized, UniformCodes)
def code_length(q: Quantized, p: UniformCodes) -> Array:
    """log C at each site: what a code costs under the uniform prior, nats, [B, ...]."""
    return jnp.full(q.index.shape, math.log(len(p.codebook)))


def index_of(z: Array, codebook: Array) -> Array:
    """Which code is nearest, by squared distance; the first of equally near ones.

    Args:
        z: vectors, [..., d].
        codebook: [C, d].

    Returns:
        Indices, [...], int32.
    """
    return jnp.argmin(_distances(z, codebook), axis=-1).astype(jnp.int32)


def code_perplexity(counts: Array) -> Array:
    """exp of the entropy of how often each code was used: how many count, from 1 to C.

    Args:
        counts: uses of each code, [C], not all 0.
    """
    return jnp.exp(_entropy(counts / counts.sum()))


def _distances(z: Array, codebook: Array) -> Array:
    """Squared distances to all codes but for |z|^2, which all have in common."""
    # Full float32: the shorter products of GPUs would choose other codes.
    products = jnp.matmul(z, codebook.T, precision="highest")  # [..., C]
    squares = jnp.broadcast_to((codebook**2).sum(axis=1), products.shape)
    return squares - 2.0 * products


def _bit_products(logits: Array) -> Array:
    """Probabilities of all patterns of bits, [N, d] -> [N, 2^d]."""
    bits = bits_of(jnp.arange(2 ** logits.shape[1]), logits.shape[1]).T
    log_one, log_zero = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return jnp.exp(log_one @ bits + log_zero @ (1 - bits))


def bits_of(index: Array, num_bits: int) -> Array:
    """The bits of whole numbers, the lowest first, [N] -> [N, num_bits]."""
    return (index[:, None] >> jnp.arange(num_bits)[None, :]) & 1


def _entropy(p: Array) -> Array:
    """-sum p log p, nats; a probability of 0 adds nothing and has a finite gradient."""
    return -(p * jnp.log(jnp.maximum(p, _TINY))).sum()
