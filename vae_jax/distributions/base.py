"""What a distribution is: a frozen pytree with a few methods.

One contract for all. The first axis of every field is the batch axis B and all other
axes are the event. A distribution has

- `mean`: the mean, shape of an event batch [B, ...];
- `sample(key)`: one draw per row, [B, ...];
- `log_prob(x)`: nats, **summed over the event**, [B];
- `support`: where x may lie: "real", "unit" ([0, 1]), "binary" ({0, 1}), "8bit"
  (multiples of 1/255 in [0, 1], a probability mass over 256 levels), "count",
  "class" or "code" (vectors of a codebook, see `quantized`);
- `has_density`: False for a point mass, whose `log_prob` raises;
- `normalized`: False where exp(log_prob) does not sum to one, so that nothing can be
  drawn and values can't be compared with those of another distribution;
- `is_factorised`: asked of priors, whether the dimensions of a code are independent.

The last four are facts about a class. `BaseDistribution` gives them the usual values,
and a distribution of your own inherits from it. Posteriors also have `variance`
[B, ...]. More axes in front (the sample axis K, the ensemble axis M) are added with
`jax.vmap`.
"""

import math
from typing import ClassVar, Protocol, runtime_checkable

import jax.numpy as jnp
from jax import lax

from vae_jax.types import Array, Key, PyTree

LOG_2PI = math.log(2.0 * math.pi)
LEVELS = 256  # of an 8-bit pixel
LOG_STD_BOUND = 10.0


@runtime_checkable
class Distribution(Protocol):
    """What every distribution offers; see the module's docstring."""

    @property
    def support(self) -> str: ...

    @property
    def has_density(self) -> bool: ...

    @property
    def normalized(self) -> bool: ...

    @property
    def mean(self) -> PyTree: ...

    def sample(self, key: Key) -> PyTree: ...

    def log_prob(self, x: PyTree) -> Array: ...


@runtime_checkable
class Posterior(Distribution, Protocol):
    """A distribution of codes [B, ...] that also has a variance per dimension."""

    @property
    def variance(self) -> Array: ...


class BaseDistribution:
    """The facts about a distribution, unless its class says otherwise."""

    support: ClassVar[str] = "real"
    has_density: ClassVar[bool] = True
    normalized: ClassVar[bool] = True
    is_factorised: ClassVar[bool] = False


def flatten_event(values: Array) -> Array:
    """[B, ...] -> [B, E].

    Log-densities flatten their inputs before the arithmetic, not their terms before the
    sum: XLA's CPU compiler turns a sum over [..., 28, 28, 1] into loops over the
    channel axis that are up to 50 times slower. Numbers of 16 bits become float32: a
    sum of many would keep only its first two or three digits.
    """
    return in_float32(values).reshape(values.shape[0], -1)


def in_float32(values: Array) -> Array:
    """Numbers of 16 bits, such as bfloat16, as float32; others as they are."""
    is_half = jnp.issubdtype(values.dtype, jnp.floating) and values.dtype.itemsize < 4
    return values.astype(jnp.float32) if is_half else values


def sum_event(values: Array) -> Array:
    """Sums over all axes but the first: [B, ...] -> [B]."""
    return lax.platform_dependent(
        flatten_event(values), cpu=_sum_of_computed, default=_sum
    )


def _sum(values: Array) -> Array:
    return values.sum(axis=1)


def _sum_of_computed(values: Array) -> Array:
    """The same, of values that are computed before.

    A CPU adds numbers up in order, one at a time. Without the barrier the compiler
    computes each of them in that loop, logarithms and all; with it, many at once.
    """
    return _sum(lax.optimization_barrier(values))


def bound_log_std(raw: Array) -> Array:
    """Keeps a predicted log standard deviation inside (-10, 10).

    `10 tanh(raw / 10)`: the identity near 0 and smooth everywhere, so that no gradient
    is cut off. Unbounded, exp(2 log_std) overflows float32 at log_std = 44, and with a
    KL weight of 0 nothing stops the way to minus infinity. The smallest variance is
    exp(-20) = 2e-9.

    Args:
        raw: any real numbers.

    Returns:
        Bounded array of the same shape.
    """
    return LOG_STD_BOUND * jnp.tanh(raw / LOG_STD_BOUND)


def absolute(values: Array) -> Array:
    """|values| with the slope 0 at 0, elementwise; that of `jnp.abs` is 1 there."""
    return jnp.maximum(values, -values)
