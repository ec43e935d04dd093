"""Normals fitted to codes, against scipy and scikit-learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from tests.battery import FAST_COMPILE
from vae_jax.errors import ConfigError, DataError
from vae_jax.fitted import mixture
from vae_jax.fitted.base import Draws

KEY = jax.random.key(0)
SHAPE = (2, 2)  # of one code

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
log_prob_of = jit(lambda prior, z: prior.log_prob(z))


def codes(num: int, seed: int = 0) -> np.ndarray:
    """Two correlated clusters far from the origin, [num, 2, 2]."""
    rng = np.random.default_rng(seed)
    turn = np.eye(4) + 0.3 * rng.normal(size=(4, 4))
    centers = np.array([[30.0, 0, 5, 1], [34.0, 6, 5, 1]])
    z = centers[rng.integers(0, 2, num)] + rng.normal(size=(num, 4)) @ turn
    return z.reshape(num, *SHAPE)


def draws(z: np.ndarray) -> Draws:
    z = np.float32(z)
    return Draws(jnp.asarray(z, jnp.float32), jnp.asarray(z[:5], jnp.float32))


def test_gaussian_has_the_moments_of_the_codes_and_scipys_density():
    z = codes(500)
    rows = z.reshape(500, 4)
    prior = mixture.fit_gaussian(draws(z), KEY)
    covariance = np.cov(rows.T, bias=True)
    exact = multivariate_normal(rows.mean(axis=0), covariance)
    points = codes(20, seed=1)
    np.testing.assert_allclose(
        log_prob_of(prior, np.float32(points)),
        exact.logpdf(points.reshape(20, 4)),
        rtol=1e-4,
        atol=1e-3,
    )
    drawn = np.asarray(jit(lambda prior: prior.sample(KEY, 20_000))(prior))
    assert drawn.shape == (20_000, *SHAPE)
    drawn = drawn.reshape(-1, 4)
    std = np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(
        np.abs(drawn.mean(0) - rows.mean(0)), 4 * std / np.sqrt(20_000)
    )
    np.testing.assert_allclose(
        np.cov(drawn.T), covariance, atol=0.05 * covariance.max()
    )


def test_mixture_is_that_of_scikit_learn():
    z = codes(400)
    rows = z.reshape(400, 4)
    prior = mixture.fit_mixture(draws(z), KEY, num_components=3)
    points = codes(50, seed=1)
    log_prob = np.asarray(log_prob_of(prior, np.float32(points)))
    components = [
        log_weight
        + multivariate_normal(mean, root @ root.T).logpdf(points.reshape(50, 4))
        for log_weight, mean, root in zip(
            *map(np.float64, (prior.log_weights, prior.mean, prior.root)), strict=True
        )
    ]
    np.testing.assert_allclose(log_prob, logsumexp(components, axis=0), atol=2e-3)
    scale, center = np.sqrt(rows.var(axis=0).mean()), rows.mean(axis=0)
    theirs = GaussianMixture(
        3, max_iter=2000, random_state=int(jax.random.bits(KEY))
    ).fit((rows - center) / scale)
    scores = theirs.score_samples((points.reshape(50, 4) - center) / scale)
    np.testing.assert_allclose(log_prob, scores - 4 * np.log(scale), atol=2e-2)
    # In the two clusters as often as the weights say: sampling agrees with the density.
    drawn = jit(lambda prior: prior.sample(KEY, 10_000))(prior)
    entropy = -np.asarray(log_prob_of(prior, drawn)).mean()
    own = -np.asarray(log_prob_of(prior, np.float32(z))).mean()
    assert abs(entropy - own) < 0.15


def test_temperature_zero_draws_the_means_of_the_components():
    prior = mixture.fit_mixture(draws(codes(100)), KEY, num_components=2)
    drawn = jit(lambda prior: prior.sample(KEY, 50, 0.0))(prior)
    drawn = np.asarray(drawn).reshape(50, 4)
    distances = np.abs(drawn[:, None] - np.asarray(prior.mean)[None]).max(axis=2)
    assert (distances.min(axis=1) == 0).all()
    assert len(np.unique(drawn, axis=0)) == 2


def test_a_constant_dimension_has_a_density_and_equal_codes_have_none():
    z = codes(100)
    z[:, 0, 0] = 3.0
    for fit in (mixture.fit_gaussian, mixture.fit_mixture):
        prior = fit(draws(z), KEY)
        assert np.isfinite(log_prob_of(prior, np.float32(z))).all()
        with pytest.raises(DataError, match="the 100 codes are all equal"):
            fit(draws(np.ones((100, *SHAPE))), KEY)


def test_as_many_components_as_there_can_be():
    for number, valid in [(0, "a whole number above 0"), (6, "at most .* codes, 5")]:
        with pytest.raises(ConfigError, match=f"num_components={number}: .*{valid}"):
            mixture.fit_mixture(draws(codes(5)), KEY, num_components=number)
