"""A mixture of normals as a prior: the same components for every row of a batch."""

import jax
import jax.numpy as jnp
from flax import struct

from vae_jax.distributions.base import LOG_2PI, BaseDistribution, in_float32
from vae_jax.types import Array, Key


@struct.dataclass
class NormalMixture(BaseDistribution):
    """sum_c weight_c N(mean_c, diag(std_c^2)).

    Unlike the other distributions, its parameters have no batch axis: `batch_size` says
    how many rows a draw has.
    """

    log_weights: Array  # [C], their exponentials sum to 1
    component_mean: Array  # [C, D]
    component_log_std: Array  # [C, D]
    batch_size: int = struct.field(pytree_node=False)

    @property
    def mean(self) -> Array:  # [B, D]
        mean = jnp.exp(self.log_weights) @ self.component_mean
        return jnp.broadcast_to(mean, (self.batch_size, *mean.shape))

    def sample(self, key: Key, temperature: float = 1.0) -> Array:
        """One draw per row, [B, D]; the temperature multiplies each component's std."""
        component_key, noise_key = jax.random.split(key)
        shape = (self.batch_size, self.component_mean.shape[1])
        component = jax.random.categorical(
            component_key, self.log_weights, shape=shape[:1]
        )
        std = jnp.exp(self.component_log_std[component])
        eps = jax.random.normal(noise_key, shape)
        return self.component_mean[component] + temperature * std * eps

    def log_prob(self, x: Array) -> Array:
        """Nats, [B].

        With 500 components `weighted_squares` makes it 20 times faster. What cancels
        there costs 0.04 nats at most while std > 0.05, for |x| < 5 and 40 dimensions,
        and more for narrower ones; no density exceeds that at a component's mean.
        """
        own, x = jax.tree.map(in_float32, self), in_float32(x)
        center = own.component_mean.mean(axis=0, keepdims=True)  # less to cancel
        precision = jnp.exp(-2.0 * own.component_log_std)
        square = weighted_squares(x - center, own.component_mean - center, precision)
        log_norm = (
            own.log_weights
            - own.component_log_std.sum(axis=1)
            - 0.5 * precision.shape[1] * LOG_2PI
        )
        return jax.nn.logsumexp(log_norm[None, :] - 0.5 * square, axis=1)


def weighted_squares(x: Array, mean: Array, precision: Array) -> Array:
    """sum_d precision_d (x_d - mean_d)^2 of rows to centres, 0 or more.

    It is multiplied out into one matrix product, so that nothing of the size [B, C, D]
    is made. What cancels costs about 1e-7 of precision x^2, summed over dimensions.

    Args:
        x: rows, [B, D].
        mean: centres, [C, D].
        precision: one over the variance around each, [C, D].

    Returns:
        [B, C].
    """
    factors = jnp.concatenate([precision, -2.0 * mean * precision], axis=1)
    powers = jnp.concatenate([x**2, x], axis=1)  # [B, 2D]
    # Full float32: the shorter products of GPUs would cost whole nats here.
    product = jnp.matmul(powers, factors.T, precision="highest")
    return jnp.maximum(product + (mean**2 * precision).sum(axis=1)[None, :], 0.0)
