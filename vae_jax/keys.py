"""Random keys whose draws compile quickly."""

import math

import jax
from jax.extend.random import define_prng_impl, threefry_prng_impl

from vae_jax.types import AnyArray, Array, Key


def _bits_in_a_row(key: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    row = threefry_prng_impl.random_bits(key, bit_width, (math.prod(shape),))
    return row.reshape(shape)


IN_A_ROW = define_prng_impl(
    key_shape=threefry_prng_impl.key_shape,
    seed=threefry_prng_impl.seed,
    split=threefry_prng_impl.split,
    fold_in=threefry_prng_impl.fold_in,
    random_bits=_bits_in_a_row,
    name="threefry2x32 in a row",
    tag="row",
)
"""JAX's Threefry, whose number i is a function of the key and i alone.

An array of several dimensions is drawn as one row, and then cut into its shape. It has
the same bits, but each number is computed from one counter in the place of one from
every dimension, which XLA compiles faster for a CPU.
"""


def plain(key: Key) -> Key:
    """The same key as one of JAX's own kinds, whatever is drawn with it.

    `jax.random.poisson` takes no other, so x is drawn from a likelihood with this one.
    """
    if jax.random.key_impl(key) != IN_A_ROW:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl="threefry2x32")


def root_key(seed: int | AnyArray) -> Key:
    """`jax.random.key(seed)`; what is drawn with it, and keys made of it, are equal.

    It differs in how long a program that draws takes to compile, see `IN_A_ROW`, and
    `jax.random.poisson` refuses it, see `plain`. With another generator than Threefry,
    as JAX_DEFAULT_PRNG_IMPL may name it, it does not differ at all.

    Args:
        seed: a whole number, or an array [] of unsigned 32 bits.

    Returns:
        A typed random key.
    """
    key = jax.random.key(seed)
    if jax.random.key_impl(key) != "threefry2x32":
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=IN_A_ROW)
