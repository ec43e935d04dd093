"""The codes of several layers, of any shapes, side by side in the rows of one array."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vae_jax.types import Array, Codes

Shapes = tuple[tuple[int, ...], ...]  # of one code of each layer


def shapes_of(codes: Sequence[Array | jax.ShapeDtypeStruct]) -> Shapes:
    """Shapes of one code of each layer; of arrays [n, ...], or their shapes only."""
    return tuple(z.shape[1:] for z in codes)


def join(codes: Sequence[Array]) -> Array:
    """L arrays [n, ...] -> [n, D], with D numbers in all of them together."""
    return jnp.concatenate([z.reshape(z.shape[0], -1) for z in codes], axis=1)


def split(rows: Array, shapes: Shapes) -> Codes:
    """The inverse of `join`."""
    ends = itertools.accumulate(math.prod(shape) for shape in shapes)
    parts = jnp.split(rows, list(ends)[:-1], axis=1)
    pairs = zip(parts, shapes, strict=True)
    return tuple(part.reshape(-1, *shape) for part, shape in pairs)
