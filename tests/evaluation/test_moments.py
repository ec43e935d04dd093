"""Moments gathered in parts against those of all examples at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax.evaluation.moments import Moments, standard_error


def test_parts_of_any_size_give_the_moments_of_the_whole():
    rng = np.random.default_rng(0)
    mean, variance, kl = np.float32(rng.normal(100.0, 2.0, (3, 57, 4)))
    used = np.ones(57, bool)
    whole = None
    for rows in (slice(0, 1), slice(1, 40), slice(40, 57)):
        part = Moments.of(mean[rows], variance[rows], kl[rows], jnp.asarray(used[rows]))
        part = jax.tree.map(np.float64, part)
        whole = part if whole is None else whole.merged(part)
    np.testing.assert_allclose(whole.mean, mean.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(whole.variance_of_means, mean.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(whole.variance, variance.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(whole.kl, kl.mean(axis=0), rtol=1e-6)


def test_the_standard_error_of_a_mean():
    values = np.random.default_rng(1).gamma(2.0, size=50)
    assert standard_error(values) == pytest.approx(scipy.stats.sem(values), rel=1e-12)
    assert standard_error(np.array([1.0, 4.0])) == pytest.approx(1.5)
    assert standard_error(values[:1]) is None


def test_rows_that_only_fill_a_batch_do_not_count():
    mean = jnp.array([[1.0], [3.0], [jnp.nan]])
    moments = Moments.of(mean, mean, None, jnp.array([True, True, False]))
    assert (moments.count, moments.mean[0], moments.variance_of_means[0]) == (2, 2, 1)
    assert moments.kl is None
