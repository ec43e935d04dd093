"""The aggregated posterior against mixtures and normals known in closed form."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from vae_jax.evaluation.aggregate import (
    Codes,
    collapse,
    mixture_log_density,
    outside_prior,
    standard_normal,
)
from vae_jax.evaluation.decomposition import decompose_rate

KEY = jax.random.key(0)


def normal_codes(num, dim, scale=1.0, std=0.0, shift=0.0):
    """Codes whose q(z) is close to N(shift, scale^2 + std^2) in every dimension."""
    mean = shift + scale * jax.random.normal(jax.random.key(7), (num, dim))
    return Codes(mean, jnp.full((num, dim), std))


@pytest.mark.parametrize("std", [1.0, 0.1, 1e-4])
def test_terms_of_the_mixture_match_a_double_precision_sum(std):
    codes = normal_codes(301, 3, scale=2.0, std=std, shift=5.0)
    rows = jnp.arange(0, 301, 7)
    eps = jax.random.normal(KEY, (len(rows), 3))
    z, own, others = mixture_log_density(codes, rows, eps)
    mean, scale = np.float64(codes.mean), np.float64(codes.std)
    exact_z = mean[rows] + scale[rows] * np.float64(eps)
    terms = stats.norm.logpdf(exact_z[:, None], mean[None], scale[None]).sum(axis=2)
    own_exact = terms[np.arange(len(rows)), rows]
    terms[np.arange(len(rows)), rows] = -np.inf
    others_exact = special.logsumexp(terms, axis=1)
    np.testing.assert_allclose(z, exact_z, rtol=1e-5)
    np.testing.assert_allclose(own, own_exact, rtol=1e-4)
    np.testing.assert_allclose(others, others_exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("scale", "std", "shift"), [(0.6, 0.8, 0), (0.4, 0.5, 0.5)])
def test_kl_and_information_of_a_normal_aggregate(scale, std, shift):
    dim, variance = 2, scale**2 + std**2
    kl = dim * 0.5 * (variance + shift**2 - 1 - math.log(variance))
    information = dim * 0.5 * math.log(variance / std**2)
    codes = normal_codes(20_000, dim, scale, std, shift)
    numbers = decompose_rate(codes, standard_normal(dim), KEY, num_queries=20_000)
    assert numbers["marginal_kl_low"] <= numbers["marginal_kl"]
    assert numbers["mutual_information"] <= numbers["mutual_information_high"]
    for name in ("marginal_kl", "marginal_kl_low"):
        assert numbers[name] == pytest.approx(kl, abs=0.03)
    for name in ("mutual_information", "mutual_information_high"):
        assert numbers[name] == pytest.approx(information, abs=0.03)


def test_collapsed_posterior_has_no_information_and_no_divergence():
    codes = Codes(jnp.zeros((100, 3)), jnp.ones((100, 3)))
    numbers = decompose_rate(codes, standard_normal(3), KEY)
    for name in ("marginal_kl", "marginal_kl_low", "mutual_information"):
        assert numbers[name] == pytest.approx(0, abs=1e-5)


def test_spikes_reach_the_cap_and_the_bounds_say_that_nothing_is_known():
    codes = normal_codes(500, 4, std=1e-4)
    numbers = decompose_rate(codes, standard_normal(4), KEY)
    assert numbers["mutual_information_cap"] == pytest.approx(math.log(500))
    assert numbers["mutual_information"] == pytest.approx(math.log(500), abs=1e-3)
    assert numbers["marginal_kl_low"] == 0
    assert numbers["marginal_kl"] > 20
    rate = numbers["marginal_kl"] + numbers["mutual_information"]
    assert numbers["mutual_information_high"] == pytest.approx(rate)


def test_points_have_no_density():
    codes = normal_codes(100, 3, std=0.0)
    assert set(decompose_rate(codes, standard_normal(3), KEY).values()) == {None}
    assert collapse(codes)["snr_log10"] is None
    assert collapse(codes)["noise_share"] == 0


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.7, 0.0), (1.0, 0.8)])
def test_share_outside_the_ball(scale, shift):
    dim = 5
    codes = normal_codes(50_000, dim, scale, 1e-3, shift)
    radius = stats.chi2.ppf(0.99, dim)
    if shift:
        exact = stats.ncx2.sf(radius, dim, dim * shift**2)
    else:
        exact = stats.chi2.sf(radius / scale**2, dim)
    share = outside_prior(codes, standard_normal(dim), KEY)
    # 50,000 codes and draws each: five standard errors are 0.0022 at 1%.
    assert share == pytest.approx(exact, abs=0.003 if not shift else 0.02)


def test_collapse_numbers_of_known_codes_and_of_the_same_codes_stretched():
    signal = jnp.array([2.0, 1.0, 0.0])  # standard deviations of the means
    signs = jnp.tile(jnp.array([[1.0], [-1.0]]), (50, 1))
    codes = Codes(
        signs * signal[None, :], jnp.tile(jnp.array([1.0, 0.1, 1.0]), (100, 1))
    )
    numbers = collapse(codes)
    assert numbers["noise_share"] == pytest.approx((1 / 5 + 0.01 / 1.01 + 1) / 3)
    assert numbers["snr_log10"] == pytest.approx(math.log10(4), rel=1e-5)
    assert numbers["code_std"] == pytest.approx(math.sqrt((5 + 1.01 + 1) / 3))
    stretched = collapse(Codes(7 * codes.mean, 7 * codes.std))
    assert stretched["noise_share"] == pytest.approx(numbers["noise_share"])
    assert stretched["snr_log10"] == pytest.approx(numbers["snr_log10"], rel=1e-5)
    assert stretched["code_std"] == pytest.approx(7 * numbers["code_std"])


def test_draws_have_the_moments_of_the_codes():
    mixing = jnp.array([[1.0, 0.5], [0.0, 2.0]])
    mean = normal_codes(5000, 2).mean @ mixing + 3.0
    codes = Codes(mean, jnp.full((5000, 2), 0.5))
    expected = np.cov(mean.T, bias=True) + 0.25 * np.eye(2)
    np.testing.assert_allclose(codes.covariance(), expected, rtol=1e-3)
    for draws in (codes.sample(KEY, 50_000), codes.sample_fitted(KEY, 50_000)):
        np.testing.assert_allclose(draws.mean(0), mean.mean(0), atol=0.05)
        np.testing.assert_allclose(np.cov(draws.T), expected, rtol=0.1, atol=0.05)


def test_square_root_where_a_dimension_is_constant():
    codes = Codes(jnp.array([[1.0, 2.0], [-1.0, 2.0]]), jnp.zeros((2, 2)))
    root = codes.square_root()
    np.testing.assert_allclose(root @ root.T, [[1.0, 0.0], [0.0, 0.0]], atol=1e-6)
