"""Moments of a latent layer over a data set, gathered batch by batch."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct

from vae_jax.types import AnyArray, Array


@struct.dataclass
class Moments:
    """What is kept of one layer over N examples: numbers by dimension, not by example.

    Arrays of JAX, or of NumPy in double precision.
    """

    count: Array | np.float64  # N, []
    mean: AnyArray  # of the posterior means, [D]
    scatter: AnyArray  # sum over examples of (posterior mean - mean)^2, [D]
    variance: AnyArray  # mean of the posterior variance, [D]
    kl: Any = None  # mean KL, nats, [D], or [1] if only estimated; None: no density

    @classmethod
    def of(
        cls, mean: Array, variance: Array, kl: Array | None, used: Array
    ) -> "Moments":
        """The moments of one batch.

        Args:
            mean: posterior means, [B, D].
            variance: posterior variances, [B, D].
            kl: KL by dimension, [B, D] or [B, 1]; None without one.
            used: which rows count, bool, [B].
        """
        weight = used.astype(mean.dtype)[:, None]
        count = weight.sum()

        def average(values: Array) -> Array:
            return jnp.where(used[:, None], values, 0.0).sum(axis=0) / count

        center = average(mean)
        return cls(
            count=count,
            mean=center,
            scatter=average((mean - center[None, :]) ** 2) * count,
            variance=average(variance),
            kl=None if kl is None else average(kl),
        )

    def merged(self, other: "Moments") -> "Moments":
        """Those of both sets of examples together: Chan et al. 1979, equation 2.1."""
        count = self.count + other.count
        share = other.count / count
        apart = other.mean - self.mean
        kl = None if self.kl is None else self.kl + share * (other.kl - self.kl)
        return Moments(
            count=count,
            mean=self.mean + share * apart,
            scatter=self.scatter + other.scatter + self.count * share * apart**2,
            variance=self.variance + share * (other.variance - self.variance),
            kl=kl,
        )

    @property
    def variance_of_means(self) -> AnyArray:
        """Of the posterior means over the examples, [D]."""
        return self.scatter / self.count


def standard_error(values: np.ndarray) -> float | None:
    """That of the mean of independent numbers [N]; None of a single one."""
    if len(values) < 2:
        return None
    spread = np.std(values, ddof=1, dtype=np.float64)
    return float(spread / math.sqrt(len(values)))
