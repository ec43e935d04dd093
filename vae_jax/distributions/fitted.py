"""What a prior fitted to the codes of a trained model is, and rows of it."""

from typing import Protocol

import jax
import jax.numpy as jnp
from flax import struct

from vae_jax.distributions.base import BaseDistribution
from vae_jax.types import Array, Key

MEAN_DRAWS = 1000


class FittedPrior(Protocol):
    """p(z) of one code, a pytree: see `vae_jax.fitted`."""

    @property
    def support(self) -> str:
        """Where a code may lie: "real", or "code" for discrete codes."""
        ...

    def sample(self, key: Key, num: int, temperature: float = 1.0) -> Array:
        """Draws of codes, [num, ...]; a lower temperature draws likelier codes."""
        ...

    def log_prob(self, z: Array) -> Array:
        """Nats, [B, ...] -> [B]."""
        ...


@struct.dataclass
class FittedRows(BaseDistribution):
    """A fitted prior as the distribution of a number of codes."""

    prior: FittedPrior
    batch_size: int = struct.field(pytree_node=False)

    @property
    def support(self) -> str:  # type: ignore[override]
        """That of the prior."""
        return self.prior.support

    @property
    def mean(self) -> Array:
        """Estimate from 1,000 fixed draws, [B, ...]."""
        mean = self.prior.sample(jax.random.key(0), MEAN_DRAWS).mean(axis=0)
        return jnp.broadcast_to(mean, (self.batch_size, *mean.shape))

    def sample(self, key: Key, temperature: float = 1.0) -> Array:
        """One draw per row, [B, ...]; see `FittedPrior.sample`."""
        return self.prior.sample(key, self.batch_size, temperature)

    def log_prob(self, x: Array) -> Array:
        return self.prior.log_prob(x)
