"""FSQ and LFQ: their levels, the numbers of their codes, and their gradients."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.battery import FAST_COMPILE
from vae_jax.distributions.quantized import index_of
from vae_jax.errors import ConfigError
from vae_jax.quantizers.scalar import FSQPosterior, LFQPosterior, grid, quantize

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
LEVELS = [(8, 5, 5, 5), (2, 3), (7,), (4, 2, 6)]


@pytest.mark.parametrize("levels", LEVELS, ids=str)
def test_every_code_has_a_number_of_its_own(levels):
    codes = np.asarray(grid(levels))
    # From the formula, the lowest digit first: sum_k (level_k + L_k // 2) prod L_m.
    rows = itertools.product(*(range(count) for count in reversed(levels)))
    digits, count = np.array([row[::-1] for row in rows]), np.asarray(levels)
    expected = (digits - count // 2) / (count // 2)
    np.testing.assert_allclose(codes, expected, rtol=1e-6)
    assert len(np.unique(codes, axis=0)) == len(codes) == math.prod(levels)
    np.testing.assert_array_equal(
        index_of(grid(levels), grid(levels)), range(len(codes))
    )


@pytest.mark.parametrize("levels", LEVELS, ids=str)
def test_every_level_is_reached_and_rounding_is_to_the_nearest(levels):
    vectors = jnp.linspace(-6, 6, 2001)[:, None] * jnp.ones((1, len(levels)))
    q = quantize(vectors, levels)
    for column, count in zip(np.asarray(q.mean).T, levels, strict=True):
        wanted = (np.arange(count) - count // 2) / (count // 2)
        np.testing.assert_allclose(np.unique(column), wanted, rtol=1e-6)
        assert (np.diff(column) >= 0).all()
    np.testing.assert_array_equal(q.index, index_of(q.mean, q.codebook))
    steps = 1 / (np.asarray(levels) // 2)
    assert (np.abs(q.before - q.mean) <= 0.51 * steps).all()
    # Zero is a level, except of two, where it is what divides them.
    zero = quantize(jnp.zeros((1, len(levels))), levels)
    more = np.asarray(levels) > 2
    np.testing.assert_allclose(np.asarray(zero.mean)[0, more], 0.0)
    np.testing.assert_allclose(np.asarray(zero.before)[0, more], 0.0, atol=1e-6)
    sides = quantize(jnp.array([[-0.1], [0.1]]) * jnp.ones((1, 1)), (2,))
    np.testing.assert_array_equal(sides.mean, [[-1.0], [0.0]])


@pytest.mark.parametrize("levels", [(1002,), (1025,), (1500, 3)], ids=str)
def test_the_outer_levels_of_very_many_are_the_last(levels):
    ends = quantize(jnp.array([[-50.0], [50.0]]) * jnp.ones((1, len(levels))), levels)
    np.testing.assert_array_equal(ends.index, [0, math.prod(levels) - 1])
    np.testing.assert_array_equal(ends.mean, ends.codebook[np.array([0, -1])])


def test_the_gradient_is_that_of_the_bound():
    """(1 - tanh^2(v + shift)) half / (L // 2), in float64 by differences."""
    levels = (8, 5, 2)
    vectors = jax.random.normal(jax.random.key(0), (6, len(levels)))
    found = jit(jax.grad(lambda v: quantize(v, levels).mean.sum()))(vectors)
    count = np.asarray(levels)
    half = (count - 1) * 1.001 / 2
    offset = np.where(count % 2 == 0, 0.5, 0.0)
    shift = np.where(count == 2, 0.0, np.arctanh(offset / half))

    def bounded(v):
        return (np.tanh(v + shift) * half - offset) / (count // 2)

    v = np.float64(vectors)
    expected = (bounded(v + 1e-6) - bounded(v - 1e-6)) / 2e-6
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_features_in_bfloat16_make_exact_codes():
    features = jax.random.normal(jax.random.key(0), (4, 3, 3, 6), jnp.bfloat16)
    module = FSQPosterior((8, 6, 5))
    q, _ = jit(module.init_with_output)(jax.random.key(1), features)
    assert q.mean.shape == (4, 3, 3, 3) and q.index.shape == (4, 3, 3)
    assert q.mean.dtype == q.before.dtype == jnp.float32
    np.testing.assert_array_equal(q.mean, np.asarray(grid((8, 6, 5)))[q.index])


def test_lfq_takes_the_signs():
    features = jax.random.normal(jax.random.key(0), (4, 6))
    module = LFQPosterior(num_bits=3, num_sites=2)
    q, params = jit(module.init_with_output)(jax.random.key(1), features)
    assert q.mean.shape == (4, 2, 3) and q.index.shape == (4, 2)
    bits = np.asarray(q.before) >= 0
    np.testing.assert_array_equal(q.mean, np.where(bits, 1.0, -1.0))
    np.testing.assert_array_equal(q.index, (bits * [1, 2, 4]).sum(axis=-1))
    np.testing.assert_array_equal(q.index, index_of(q.mean, q.codebook))
    kernel = params["params"]["vectors"]["kernel"]
    assert kernel.shape == (6, 2 * 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FSQPosterior(()), r"levels=\(\): must be one or more whole numbers"),
        (lambda: FSQPosterior((8, 1)), r"levels=\(8, 1\): must be .* above 1"),
        (lambda: FSQPosterior((8, 2.5)), r"levels=\(8, 2\.5\): must be"),
        (lambda: FSQPosterior(8), r"levels=8: must be"),
        (lambda: FSQPosterior((99, 99, 99)), r"levels=.* at most 65536 codes"),
        (lambda: FSQPosterior(num_sites=0), "num_sites=0: must be"),
        (lambda: LFQPosterior(17), r"num_bits=17: must make at most 65536 codes"),
        (lambda: LFQPosterior(20_000), r"num_bits=20000: .* and makes more than 2\^64"),
        (lambda: LFQPosterior(0), "num_bits=0: must be"),
    ],
)
def test_bad_sizes_are_one_line(make, message):
    with pytest.raises(ConfigError, match=message) as found:
        make()
    assert "\n" not in str(found.value)
