"""One of C classes as a latent variable, written as a one-hot vector."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vae_jax.distributions.base import BaseDistribution, in_float32
from vae_jax.distributions.kl import register_kl
from vae_jax.types import Array, Key


@struct.dataclass
class OneHot(BaseDistribution):
    """P(y = e_c) = softmax(logits)_c over the C one-hot vectors e_1, ..., e_C.

    A draw passes no gradient on to the logits.
    """

    logits: Array  # [B, C]

    support: ClassVar[str] = "code"

    @classmethod
    def uniform(cls, batch_size: int, num_classes: int) -> "OneHot":
        """Each class with probability 1/C, for `batch_size` rows."""
        return cls(jnp.zeros((batch_size, num_classes)))

    @classmethod
    def certain(cls, index: Array, num_classes: int) -> "OneHot":
        """One class for each row, with probability 1: that of number `index` [B]."""
        chosen = jax.nn.one_hot(index, num_classes, dtype=bool)
        return cls(jnp.where(chosen, 0.0, -jnp.inf))

    @property
    def log_probs(self) -> Array:
        """Of each class, nats, [B, C]."""
        return jax.nn.log_softmax(in_float32(self.logits))

    @property
    def mean(self) -> Array:
        """The probabilities, [B, C]."""
        return jax.nn.softmax(in_float32(self.logits))

    @property
    def variance(self) -> Array:
        """p (1 - p) of each number of the vector, [B, C]."""
        return self.mean * (1.0 - self.mean)

    def sample(self, key: Key, temperature: float = 1.0) -> Array:
        """One vector per row, [B, C], float32.

        Args:
            key: random key for the draws.
            temperature: number without effect; it multiplies standard deviations of
                other priors, and a class has none.
        """
        del temperature
        index = jax.random.categorical(key, self.logits)
        return jax.nn.one_hot(index, self.logits.shape[-1])

    def log_prob(self, x: Array) -> Array:
        """Nats, [B]; x are one-hot vectors."""
        # 0 times the log of a probability of 0 is no number.
        return jnp.where(x == 0.0, 0.0, x * self.log_probs).sum(axis=-1)


@register_kl(OneHot, OneHot)
def one_hot_kl(q: OneHot, p: OneHot) -> Array:
    """sum_c q_c (log q_c - log p_c), nats, [B]."""
    possible = q.mean > 0.0
    # 0 times the log of a probability of 0 is no number, nor is its gradient.
    log_q = jnp.where(possible, q.log_probs, 0.0)
    log_p = jnp.where(possible, p.log_probs, 0.0)
    return (q.mean * (log_q - log_p)).sum(axis=-1)
