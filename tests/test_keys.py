"""Keys of runs: JAX's numbers, by programs that compile faster."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.battery import FAST_COMPILE
from vae_jax.distributions.tabular import NegativeBinomial
from vae_jax.keys import MANY, plain, root_key
from vae_jax.types import stream

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
SHAPE = (5, 3, 2)


def of_a_layer(key):
    return nn.Conv(4, (3, 3)).init(key, jnp.zeros((1, 8, 8, 3)))["params"]["kernel"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda key: jax.random.normal(key, SHAPE),
        lambda key: jax.random.bits(key, SHAPE, jnp.uint16),
        lambda key: jax.random.randint(key, SHAPE, 0, 7),
        lambda key: jax.random.categorical(key, jnp.zeros(SHAPE)),
        lambda key: jax.random.gamma(key, jnp.ones(SHAPE)),
        lambda key: jax.random.poisson(plain(key), 3.0, SHAPE),
        lambda key: NegativeBinomial(*jnp.ones((2, *SHAPE))).sample(key),
        lambda key: jax.random.permutation(key, 6),
        lambda key: jax.random.uniform(stream(key, "x"), SHAPE),
        lambda key: jax.random.normal(jax.random.split(key, (2, 3))[1, 2], ()),
        of_a_layer,
    ],
)
def test_draws_are_those_of_jax(draw):
    keys = jax.random.key(3), root_key(3)
    of_one_and_of_several = jit(
        lambda key: (draw(key), jax.vmap(draw)(jax.random.split(key, 2)))
    )
    # A draw that computes with its bits is rounded as its program is fused.
    equal = functools.partial(np.testing.assert_allclose, rtol=1e-6)
    jax.tree.map(equal, *map(of_one_and_of_several, keys))


def test_numbers_are_drawn_in_a_row():
    program = jax.jit(lambda key: jax.random.normal(key, SHAPE))
    texts = [program.lower(key).as_text() for key in (root_key(0), jax.random.key(0))]
    rows, shaped = (set(re.findall(r"xor .* : (.*)", text)) for text in texts)
    assert "tensor<30xui32>" in rows and "tensor<5x3x2xui32>" not in rows
    assert "tensor<30xui32>" not in shaped and "tensor<5x3x2xui32>" in shaped


def test_another_generator_is_left_as_it_is():
    with jax.default_prng_impl("rbg"):
        key, own = jax.random.key(1), root_key(1)
    assert own.dtype == plain(key).dtype == key.dtype


@pytest.mark.parametrize("width", [8, 16, 32])
def test_many_bits_are_those_of_jax(width):
    dtype = jnp.dtype(f"uint{width}")
    keys = [jax.random.split(key) for key in (jax.random.key(3), root_key(3))]
    shapes = ((), (0,), (MANY - 1,), (2, MANY // 2), (MANY + 1,))

    @jit
    def bits(key):
        one = [jax.random.bits(key[1], shape, dtype) for shape in shapes]
        return one, jax.vmap(lambda key: jax.random.bits(key, (MANY,)))(key)

    found = [bits(key) for key in keys]
    jax.tree.map(np.testing.assert_array_equal, *found)
    for one, _ in found:
        assert {values.dtype for values in one} == {dtype}


def test_words_of_64_bits_and_another_counter_are_those_of_jax():
    keys = jax.random.key(3), root_key(3)
    with jax.enable_x64(True):
        draw = jit(lambda key: jax.random.bits(key, (MANY,), jnp.uint64))
        bits = [draw(key) for key in keys]
    np.testing.assert_array_equal(*bits)
    with jax.threefry_partitionable(False):
        bits = [jax.random.bits(key, (MANY,)) for key in keys]
    np.testing.assert_array_equal(*bits)
    assert (bits[0] != jax.random.bits(keys[0], (MANY,))).any()
