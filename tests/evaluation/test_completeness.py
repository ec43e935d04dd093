"""Comparisons of image sets, and round trips, whose result is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from vae_jax.distributions import Deterministic, DiagonalNormal
from vae_jax.evaluation.completeness import (
    FEATURES,
    compare,
    frechet_pca,
    mislead,
    real_images,
    round_trip,
)

NUM, PIXELS = 1000, 8


def draws(seed, num=NUM):
    return jax.random.normal(jax.random.key(seed), (num, 2, 4, 1))


def test_perfect_draws_reach_the_known_expectations():
    real = real_images(draws(0), draws(1))
    numbers = {**compare(real, draws(2)), **mislead(real, draws(2))}
    # Naeem et al. 2020, lemma 2: 1 - (1/2)^5 for equal numbers; balls overlap, so the
    # standard error is not binomial: 0.015 is about two of it.
    assert numbers["coverage"] == pytest.approx(1 - 2**-5, abs=0.015)
    assert numbers["density"] == pytest.approx(1, abs=0.1)
    assert numbers["frechet_pca"] < 0.02


def test_numbers_match_a_plain_count_on_binary_images_full_of_ties():
    real, fake = (
        np.asarray(jax.random.bernoulli(jax.random.key(seed), p, (60, 2, 4, 1)), float)
        for seed, p in ((0, 0.5), (1, 0.3))
    )
    prepared = real_images(real, draws(2))
    numbers = {**compare(prepared, fake), **mislead(prepared, fake)}

    def distances(a, b):
        return ((a.reshape(60, 1, -1) - b.reshape(1, 60, -1)) ** 2).sum(axis=2)

    def radii(x):  # the nearest is the image itself
        return np.sort(distances(x, x), axis=1)[:, 5]

    near = distances(real, fake)
    inside = near <= radii(real)[:, None]
    assert numbers["coverage"] == pytest.approx(inside.any(axis=1).mean())
    assert numbers["precision"] == pytest.approx(inside.any(axis=0).mean())
    assert numbers["density"] == pytest.approx(inside.sum() / (5 * 60))
    recall = (near <= radii(fake)[None, :]).any(axis=1).mean()
    assert numbers["recall"] == pytest.approx(recall)


def test_draws_of_half_the_data_cover_half_of_it():
    offset = 100.0 * (jnp.arange(NUM) % 2).reshape(-1, 1, 1, 1)  # two distant clusters
    real = real_images(draws(0) + offset, draws(1) + offset)
    assert compare(real, draws(2) + offset)["coverage"] > 0.94
    assert compare(real, draws(2))["coverage"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("offset", [1000.0, 30_000.0])
def test_where_the_data_lie_does_not_matter(offset):
    """Rows of real numbers may lie anywhere, and are not centred."""
    here, there = (
        {**compare(real, draws(2) + shift), **mislead(real, draws(2) + shift)}
        for shift in (0.0, offset)
        for real in [real_images(draws(0) + shift, draws(1) + shift)]
    )
    for name, value in here.items():
        assert there[name] == pytest.approx(float(value), abs=0.01), name


def test_draws_far_away_cover_nothing():
    real, far = real_images(draws(0), draws(1)), draws(2) + 100
    numbers = {**compare(real, far), **mislead(real, far)}
    assert numbers["coverage"] == numbers["precision"] == numbers["density"] == 0


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0])
def test_frechet_distance_of_scaled_and_shifted_images(scale):
    x = draws(0).reshape(NUM, -1) * jnp.arange(1.0, 9.0)[None, :]
    mean = x.mean(axis=0, keepdims=True)
    real = real_images(x, draws(1))
    fake = mean + scale * (x - mean)
    variance = x.var(axis=0).sum()
    # C_f = s^2 C_r: tr(C_r + s^2 C_r - 2 s C_r) / tr C_r
    assert frechet_pca(real, fake) == pytest.approx((1 - scale) ** 2, abs=1e-4)
    shifted = (1 - scale) ** 2 + 8 * 3.0**2 / variance
    assert frechet_pca(real, fake + 3) == pytest.approx(float(shifted), rel=1e-3)


def test_features_are_the_leading_principal_components():
    scales = jnp.array([50.0] * FEATURES + [0.1] * 20)
    train = jax.random.normal(jax.random.key(0), (400, len(scales))) * scales[None, :]
    components = real_images(train, train).components
    np.testing.assert_allclose(components.T @ components, np.eye(FEATURES), atol=1e-4)
    np.testing.assert_allclose(components[FEATURES:], 0, atol=1e-2)


# Decoder weights with orthogonal rows: the exact posterior is a diagonal normal.
ROWS = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (PIXELS, 3)))[0].T
WEIGHT = ROWS * jnp.array([[2.0], [1.0], [0.3]])
NOISE = 0.7


def exact_posterior(x):
    """Of z ~ N(0, I), x ~ N(z WEIGHT, NOISE^2 I)."""
    precision = 1 + (WEIGHT**2).sum(axis=1) / NOISE**2
    mean = (x @ WEIGHT.T) / NOISE**2 / precision[None, :]
    log_std = jnp.broadcast_to(-0.5 * jnp.log(precision)[None, :], mean.shape)
    return DiagonalNormal(mean, log_std)


def moments_of(encode):
    def moments(x):
        posterior = encode(x)
        return posterior.mean, posterior.variance

    return Partial(moments)


@pytest.fixture(scope="module")
def pairs():
    z = jax.random.normal(jax.random.key(4), (20_000, 3))
    noise = jax.random.normal(jax.random.key(5), (20_000, PIXELS))
    return z, z @ WEIGHT + NOISE * noise


def test_round_trip_through_the_exact_posterior(pairs):
    z, x = pairs
    numbers = round_trip(moments_of(exact_posterior), z, x)
    variance = exact_posterior(x[:1]).variance.mean()
    assert numbers["round_trip"] == pytest.approx(float(variance), rel=0.03)
    # Five standard errors.
    assert numbers["round_trip_inside"] == pytest.approx(0.99, abs=0.0035)


def test_round_trip_through_a_posterior_that_is_too_narrow(pairs):
    def too_narrow(x):
        posterior = exact_posterior(x)
        return DiagonalNormal(posterior.mean, posterior.log_std - 1)

    assert round_trip(moments_of(too_narrow), *pairs)["round_trip_inside"] < 0.4


def test_round_trip_through_encoders_that_know_nothing_or_give_points(pairs):
    def zero(x):
        zeros = jnp.zeros((len(x), 3))
        return DiagonalNormal(zeros, zeros)

    def point(x):
        return Deterministic(exact_posterior(x).mean)

    assert round_trip(moments_of(zero), *pairs)["round_trip"] == pytest.approx(1)
    numbers = round_trip(moments_of(point), *pairs)
    assert numbers["round_trip"] < 1
    assert np.isnan(numbers["round_trip_inside"])
