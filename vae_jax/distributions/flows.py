"""A normal bent by a normalising flow, with a density that is cheap everywhere."""

import jax
import jax.numpy as jnp
from flax import struct

from vae_jax.distributions.base import BaseDistribution, in_float32
from vae_jax.distributions.normal import DiagonalNormal
from vae_jax.types import Array, Key

MOMENT_PAIRS = 32


@struct.dataclass
class CouplingFlow(BaseDistribution):
    """z = f_T(... f_1(z_0)) with z_0 ~ N(mean, diag(std^2)) and affine couplings f_t.

    Layer t leaves the even dimensions (the odd ones for odd t) as they are, and from
    them and the context predicts a scale and a shift of the others:

        h = tanh(W_t (m z) + context_t),  (s, b) = U_t h + c_t,
        z <- m z + (1 - m) (z exp(tanh s) + b).

    Both directions are one pass, so any z has a density, not only the flow's own draws,
    and gradients that hold the flow fixed (`objectives.bounds.stl`) exist. The weights
    are shared by the batch and have no batch axis; `base` and `context` have one.
    Sources: Rezende and Mohamed 2015, arXiv:1505.05770 (flows as posteriors); Dinh et
    al. 2017, arXiv:1605.08803, equations 7 and 8 (affine coupling).
    """

    base: DiagonalNormal  # fields [B, D]
    context: Array  # [B, T, H]
    weights_in: Array  # [T, D, H]
    weights_out: Array  # [T, H, 2 D]
    bias_out: Array  # [T, 2 D]

    def _scale_and_shift(self, z: Array, layer: int) -> tuple[Array, Array]:
        """Log scale and shift of a layer, zero where it leaves z as it is, [B, D]."""
        kept = (jnp.arange(z.shape[1]) % 2 == layer % 2)[None, :]
        hidden = jnp.tanh(
            jnp.where(kept, z, 0.0) @ self.weights_in[layer] + self.context[:, layer]
        )
        out = hidden @ self.weights_out[layer] + self.bias_out[layer][None, :]
        raw_log_scale, shift = jnp.split(jnp.where(jnp.tile(kept, 2), 0.0, out), 2, 1)
        return jnp.tanh(raw_log_scale), shift

    def push(self, z: Array) -> Array:
        """The flow's image of base codes, [B, D] -> [B, D]."""
        for layer in range(self.weights_in.shape[0]):
            log_scale, shift = self._scale_and_shift(z, layer)
            z = z * jnp.exp(log_scale) + shift
        return z

    def sample(self, key: Key) -> Array:
        return self.push(self.base.sample(key))

    def log_prob(self, x: Array) -> Array:
        own, x = jax.tree.map(in_float32, self), in_float32(x)
        log_det = jnp.zeros(x.shape[0])
        for layer in reversed(range(own.weights_in.shape[0])):
            log_scale, shift = own._scale_and_shift(x, layer)
            x = (x - shift) * jnp.exp(-log_scale)
            log_det = log_det + log_scale.sum(axis=1)
        return own.base.log_prob(x) - log_det

    def _draws(self) -> Array:
        """64 fixed draws for the moments, in pairs +-eps: exact for a linear flow."""
        shape = (MOMENT_PAIRS, *self.base.mean.shape)
        # Fixed noise, so that the moments are a function of the input alone.
        eps = jax.random.normal(jax.random.key(0), shape)
        eps = jnp.concatenate([eps, -eps])
        return jax.vmap(lambda e: self.push(self.base.mean + self.base.std * e))(eps)

    @property
    def mean(self) -> Array:
        """Estimate from 64 fixed draws, [B, D]."""
        return self._draws().mean(axis=0)

    @property
    def variance(self) -> Array:
        """Estimate from 64 fixed draws, [B, D]."""
        return self._draws().var(axis=0)
