"""Distributions of discrete codes, against formulas written out over all codes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests.battery import FAST_COMPILE
from vae_jax.distributions import Quantized, UniformCodes, kl_divergence
from vae_jax.distributions.quantized import (
    QuantizedBits,
    bits_of,
    code_perplexity,
    index_of,
)
from vae_jax.errors import ConfigError

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
KEY = jax.random.key(0)
B, S, D, C = 3, 4, 5, 6
VECTORS = jax.random.normal(KEY, (B, S, D))
CODEBOOK = jax.random.normal(jax.random.key(1), (C, D))
SIGNS = 2.0 * bits_of(jnp.arange(2**D), D) - 1.0


def quantized(vectors=VECTORS, codebook=CODEBOOK, kind=Quantized):
    return kind.straight_through(vectors, index_of(vectors, codebook), codebook)


def test_the_nearest_code_is_chosen_and_has_all_the_mass():
    q = quantized()
    distances = np.linalg.norm(
        np.asarray(VECTORS)[..., None, :] - np.asarray(CODEBOOK), axis=-1
    )
    np.testing.assert_array_equal(q.index, distances.argmin(axis=-1))
    np.testing.assert_array_equal(q.mean, np.asarray(CODEBOOK)[q.index])
    np.testing.assert_array_equal(q.sample(KEY), q.mean)
    np.testing.assert_array_equal(q.log_prob(q.mean), np.zeros(B))
    other = q.mean.at[1, 2, 0].add(1e-6)
    np.testing.assert_array_equal(q.log_prob(other), [0.0, -np.inf, 0.0])


def test_the_gradient_goes_straight_through_and_not_to_the_codebook():
    weights = jax.random.normal(jax.random.key(2), VECTORS.shape)

    @jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def gradients(vectors, codebook):
        return (quantized(vectors, codebook).mean * weights).sum()

    to_vectors, to_codebook = gradients(VECTORS, CODEBOOK)
    np.testing.assert_array_equal(to_vectors, weights)
    assert (to_codebook == 0).all()


def test_uniform_codes_cost_log_c_at_each_site():
    q, p = quantized(), UniformCodes(CODEBOOK, batch_size=B, sites=(S,))
    np.testing.assert_allclose(kl_divergence(q, p), np.full((B, S), math.log(C)))
    np.testing.assert_allclose(p.log_prob(q.mean), np.full(B, -S * math.log(C)))
    # log q - log p of the one code that q has, summed over sites.
    estimate = q.log_prob(q.mean) - p.log_prob(q.mean)
    np.testing.assert_allclose(kl_divergence(q, p).sum(axis=1), estimate, rtol=1e-6)


def test_uniform_codes_are_drawn_alike_at_each_site():
    p = UniformCodes(CODEBOOK, batch_size=500, sites=(2, 2))
    z = jit(lambda key: p.sample(key))(KEY)
    assert z.shape == p.mean.shape == (500, 2, 2, D)
    index = np.asarray(index_of(z, CODEBOOK))
    np.testing.assert_array_equal(z, np.asarray(CODEBOOK)[index])
    for site in index.reshape(500, 4).T:
        counts = np.bincount(site, minlength=C)
        assert scipy.stats.chisquare(counts).pvalue > 1e-4
    np.testing.assert_allclose(p.mean[0, 0, 0], CODEBOOK.mean(axis=0), rtol=1e-5)
    with pytest.raises(ConfigError, match=r"temperature=0\.5: must be 1"):
        p.sample(KEY, 0.5)


@pytest.mark.parametrize("codebook", [CODEBOOK, SIGNS], ids=["any", "bits"])
@pytest.mark.parametrize("inverse_temperature", [0.1, 1.0, 100.0])
def test_entropies_are_those_of_a_softmax_over_all_codes(codebook, inverse_temperature):
    kind = QuantizedBits if codebook is SIGNS else Quantized
    each, of_all = quantized(codebook=codebook, kind=kind).entropies(
        inverse_temperature
    )
    vectors, codes = np.float64(VECTORS), np.float64(codebook)
    squares = ((vectors[:, :, None, :] - codes) ** 2).sum(axis=-1)
    p = scipy.special.softmax(-inverse_temperature * squares, axis=-1)
    np.testing.assert_allclose(each, scipy.stats.entropy(p, axis=-1), atol=2e-5)
    mean = p.reshape(-1, len(codes)).mean(axis=0)
    np.testing.assert_allclose(of_all, scipy.stats.entropy(mean), rtol=1e-5)


def test_entropies_of_bits_have_the_gradients_of_the_softmax():
    """Also where all probability is on a few codes and the rest underflows."""

    def both(kind, scale, vectors):
        q = quantized(scale * vectors, SIGNS, kind)
        each, of_all = q.entropies(1.0)
        return each.mean() - 0.7 * of_all

    for scale in (0.3, 30.0):
        gradients = [
            jit(jax.grad(functools.partial(both, kind, scale)))(VECTORS)
            for kind in (Quantized, QuantizedBits)
        ]
        assert np.isfinite(gradients).all()
        np.testing.assert_allclose(*gradients, rtol=1e-3, atol=2e-5)


def test_perplexity_is_how_many_codes_are_used_alike():
    for counts, expected in (
        ([5, 5, 5, 0], 3.0),
        ([7, 0, 0, 0], 1.0),
        ([1, 3], math.exp(0.25 * math.log(4) + 0.75 * math.log(4 / 3))),
    ):
        np.testing.assert_allclose(
            code_perplexity(jnp.asarray(counts)), expected, rtol=1e-6
        )
