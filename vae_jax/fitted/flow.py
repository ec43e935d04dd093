"""A normalising flow on codes, trained by maximum likelihood."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from vae_jax.distributions import CouplingFlow, DiagonalNormal
from vae_jax.evaluation.chunks import Progress
from vae_jax.fitted import training
from vae_jax.fitted.base import Draws
from vae_jax.fitted.mixture import FullMixture, fit_gaussian, log_det
from vae_jax.fitted.mixture import like as like_gaussian
from vae_jax.ranges import COUNT, LAYERS, POSITIVE, require
from vae_jax.types import Array, Key

BATCH_SIZE = 256


@struct.dataclass
class Couplings:
    """Weights of affine couplings, see `distributions.CouplingFlow`."""

    context: Array  # [T, H]
    weights_in: Array  # [T, D, H]
    weights_out: Array  # [T, H, 2 D]
    bias_out: Array  # [T, 2 D]

    def flow(self, num: int) -> CouplingFlow:
        """The flow from N(0, I), for `num` rows."""
        zeros = jnp.zeros((num, self.weights_in.shape[1]))
        return CouplingFlow(
            base=DiagonalNormal.standard_like(zeros),
            context=jnp.broadcast_to(self.context, (num, *self.context.shape)),
            weights_in=self.weights_in,
            weights_out=self.weights_out,
            bias_out=self.bias_out,
        )


@struct.dataclass
class Flow:
    """z = mean + root u, with u from couplings of N(0, I): a `FittedPrior`.

    Mean and root are those of the normal with the moments of the codes. The couplings
    begin as the identity, so the flow begins as that normal.
    """

    normal: FullMixture  # of one component
    couplings: Couplings

    support: ClassVar[str] = "real"

    def sample(self, key: Key, num: int, temperature: float = 1.0) -> Array:
        """Draws, [num, ...]; the temperature multiplies the std of the flow's base."""
        flow = self.couplings.flow(num)
        u = flow.push(flow.base.sample(key, temperature))
        return coloured(self.normal, u)

    def log_prob(self, z: Array) -> Array:
        """Nats, exact, [B, ...] -> [B]."""
        u = whitened(self.normal, z)
        log_prob = self.couplings.flow(u.shape[0]).log_prob(u)
        return log_prob - log_det(self.normal.root[0])


def whitened(normal: FullMixture, z: Array) -> Array:
    """u with z = mean + root u, [B, ...] -> [B, D]: of the identity as covariance.

    Args:
        normal: a normal with the moments of the codes.
        z: codes.
    """
    rows = z.reshape(z.shape[0], -1) - normal.mean
    return jax.scipy.linalg.solve_triangular(normal.root[0], rows.T, lower=True).T


def coloured(normal: FullMixture, u: Array) -> Array:
    """The inverse of `whitened`, mean + root u, [B, D] -> [B, ...]."""
    shift = jnp.matmul(u, normal.root[0].T, precision="highest")
    return (normal.mean + shift).reshape(u.shape[0], *normal.shape)


def like(
    draws: Draws, key: Key, num_layers: int = 8, width: int = 128, **others: float
) -> Flow:
    """The flow at its start, with a standard normal."""
    layers, dim = num_layers, draws.dim
    scale = 1 / jnp.sqrt(dim)
    couplings = Couplings(
        context=jnp.zeros((layers, width)),
        weights_in=scale * jax.random.normal(key, (layers, dim, width)),
        weights_out=jnp.zeros((layers, width, 2 * dim)),
        bias_out=jnp.zeros((layers, 2 * dim)),
    )
    return Flow(like_gaussian(draws, key), couplings)


def fit(
    draws: Draws,
    key: Key,
    progress: Progress | None = None,
    num_layers: int = 8,
    width: int = 128,
    num_steps: int = 5_000,
    learning_rate: float = 1e-3,
) -> Flow:
    """Maximises the mean log-density of the training codes, with Adam.

    The learning rate falls to 0 along a cosine; the parameters of the best density of
    the validation codes are kept. Source: Dinh et al. 2017, arXiv:1605.08803.

    Args:
        draws: the codes.
        key: random key for the start and the order.
        progress: called with (steps done, num_steps).
        num_layers: affine couplings, each of which changes every other dimension.
        width: hidden units of each.
        num_steps: updates, each on 256 codes.
        learning_rate: Adam's, at the start.

    Raises:
        ConfigError: a setting is out of its range.
        DataError: all codes are equal.
    """
    require(LAYERS, num_layers=num_layers)
    require(COUNT, width=width, num_steps=num_steps)
    require(POSITIVE, learning_rate=learning_rate)
    normal = fit_gaussian(draws, key)

    def log_prob(couplings: Couplings, rows: Array) -> Array:
        return Flow(normal, couplings).log_prob(rows)

    start = like(draws, key, num_layers, width).couplings
    tx = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))
    couplings = training.train(
        training.maximum_likelihood(start, log_prob, tx),
        draws.train,
        draws.validation,
        key,
        num_steps,
        BATCH_SIZE,
        progress,
    )
    return Flow(normal, couplings)
