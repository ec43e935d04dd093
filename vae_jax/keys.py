"""Random keys whose draws compile quickly, and are quick on a CPU."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.random import define_prng_impl, threefry_prng_impl

from vae_jax.types import AnyArray, Array, Key

MANY = 2_000  # numbers of a draw that are worth a program of their own
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_WORDS = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}


def _bits_in_a_row(key: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    num = math.prod(shape)
    # Another counter, and numbers above 2^32, are left to JAX.
    is_counted = jax.threefry_partitionable.value and MANY <= num <= 2**32
    if is_counted and bit_width in _WORDS:
        row = _words(key, lax.iota(jnp.uint32, num)).astype(_WORDS[bit_width])
    else:
        row = threefry_prng_impl.random_bits(key, bit_width, (num,))
    return row.reshape(shape)


@jax.jit
def _words(key: Array, count: Array) -> Array:
    """The words that Threefry-2x32 makes of numbers below 2^32, both halves as one.

    All 20 rounds are written one after the other, so that they are one loop over the
    numbers. JAX's program for a CPU writes all words to memory after every fourth
    round, and takes about three times as long; for a few numbers it compiles faster.
    Source: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3, section 4.

    Args:
        key: [2], uint32.
        count: the numbers, [N], uint32; the upper half of a counter is 0.

    Returns:
        [N], uint32.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    x, y = jnp.full_like(count, keys[0]), count + keys[1]
    for i in range(5):
        for distance in _ROTATIONS[i % 2]:
            x = x + y
            y = (y << distance) | (y >> (32 - distance))
            y = x ^ y
        x = x + keys[(i + 1) % 3]
        y = y + keys[(i + 2) % 3] + jnp.uint32(i + 1)
    return x ^ y


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
every dimension, which XLA compiles faster for a CPU; and many of them in one loop,
which a CPU runs faster.
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

    It differs in how long a program that draws takes to compile and to run, see
    `IN_A_ROW`, and `jax.random.poisson` refuses it, see `plain`. With another generator
    than Threefry, as JAX_DEFAULT_PRNG_IMPL may name it, it does not differ at all.

    Args:
        seed: a whole number, or an array [] of unsigned 32 bits.

    Returns:
        A typed random key.
    """
    key = jax.random.key(seed)
    if jax.random.key_impl(key) != "threefry2x32":
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=IN_A_ROW)
