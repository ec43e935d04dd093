"""Quantisers that round each number by itself: their codebook is fixed, a grid.

Neither has state, and FSQ needs no term in the loss beside the distortion.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions.quantized import Quantized, QuantizedBits, bits_of
from vae_jax.errors import ConfigError
from vae_jax.quantizers.sites import require_few_codes, vectors_at_sites
from vae_jax.ranges import COUNT, is_count, require
from vae_jax.types import Array

EPS = 1e-3  # how far beyond the outer levels a bounded number may go


class FSQPosterior(nn.Module):
    """Finite scalar quantisation: number k of a vector is rounded to one of L_k levels.

    With L levels, half = (L - 1) (1 + eps) / 2 and offset = 1/2 for even L, else 0,

        bounded = tanh(v + atanh(offset / half)) half - offset
        code = round(bounded) / (L // 2), at most the last level,

    the levels are -(L // 2), ..., (L - 1) // 2 over L // 2, and v = 0 is on a level. Of
    two levels there is none in the middle: the shift by atanh is left out, so that
    v = 0 is between them. There are prod_k L_k codes, and the index of one is
    sum_k (level_k + L_k // 2) prod_{m<k} L_m. Source: Mentzer et al. 2024,
    arXiv:2309.15505.
    """

    distribution: ClassVar[type] = Quantized

    levels: Sequence[int] = (8, 5, 5, 5)
    num_sites: int = 16  # of features without places, see `sites.vectors_at_sites`

    def __post_init__(self) -> None:
        is_sequence = isinstance(self.levels, tuple | list)
        levels = self.levels if is_sequence else ()
        if not levels or not all(is_count(level) and level >= 2 for level in levels):
            raise ConfigError(
                f"levels={self.levels!r}: must be one or more whole numbers above 1"
            )
        require_few_codes("levels", self.levels, math.prod(levels))
        require(COUNT, num_sites=self.num_sites)
        super().__post_init__()

    @nn.compact
    def __call__(self, features: Array) -> Quantized:
        vectors = vectors_at_sites(features, self.num_sites, len(self.levels))
        # Rounded numbers must be exact: float32, whatever the networks compute in.
        return quantize(vectors.astype(jnp.float32), self.levels)


def quantize(vectors: Array, levels: Sequence[int]) -> Quantized:
    """The code of each vector, [..., d] -> fields [..., d]; see `FSQPosterior`.

    Args:
        vectors: any real numbers, [..., d].
        levels: the number of levels of each of the d numbers.
    """
    count = np.asarray(levels)
    half = (count - 1) * (1 + EPS) / 2
    offset = np.where(count % 2 == 0, 0.5, 0.0)
    shift = np.where(count == 2, 0.0, np.arctanh(offset / half))

    def last_axis(values: np.ndarray, dtype: type = np.float32) -> Array:
        return jnp.broadcast_to(values.astype(dtype), vectors.shape)

    bounded = jnp.tanh(vectors + last_axis(shift)) * last_axis(half) - last_axis(offset)
    digits = jnp.round(bounded).astype(jnp.int32) + last_axis(count // 2, np.int32)
    # Of more than a thousand levels, eps reaches half a level beyond the last.
    digits = jnp.clip(digits, 0, last_axis(count - 1, np.int32))
    index = (digits * last_axis(_place_values(levels), np.int32)).sum(axis=-1)
    return Quantized.straight_through(
        before=bounded / last_axis(count // 2),
        index=index.astype(jnp.int32),
        codebook=grid(levels),
    )


def grid(levels: Sequence[int]) -> Array:
    """All codes in the order of their indices, [C, d]."""
    count = np.asarray(levels)
    index = np.arange(math.prod(levels))
    digits = index[:, None] // _place_values(levels) % count
    return jnp.asarray((digits - count // 2) / (count // 2), jnp.float32)


def _place_values(levels: Sequence[int]) -> np.ndarray:
    """What a step of each level adds to the index: prod_{m<k} L_m."""
    return np.cumprod([1, *levels[:-1]])


class LFQPosterior(nn.Module):
    """Lookup-free quantisation: a bit for each number of a vector, its sign.

    The codes are all vectors of -1 and 1. Without the entropy penalty of the objective
    `quantized`, few of them may be used. Source: Yu et al. 2024, arXiv:2310.05737,
    section 3.1.
    """

    distribution: ClassVar[type] = QuantizedBits

    num_bits: int = 8
    num_sites: int = 16  # of features without places, see `sites.vectors_at_sites`

    def __post_init__(self) -> None:
        require(COUNT, num_bits=self.num_bits, num_sites=self.num_sites)
        require_few_codes("num_bits", self.num_bits, 2**self.num_bits)
        super().__post_init__()

    @nn.compact
    def __call__(self, features: Array) -> QuantizedBits:
        vectors = vectors_at_sites(features, self.num_sites, self.num_bits)
        return QuantizedBits.straight_through(
            before=vectors,
            index=(vectors >= 0).astype(jnp.int32) @ 2 ** jnp.arange(self.num_bits),
            codebook=2.0 * bits_of(jnp.arange(2**self.num_bits), self.num_bits) - 1.0,
        )
