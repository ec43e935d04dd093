"""Information, total correlation and KL by dimension of codes with a known answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from benchmarks.total_correlation import paired_codes
from vae_jax.distributions.mixtures import NormalMixture
from vae_jax.evaluation.aggregate import Codes, standard_normal
from vae_jax.evaluation.decomposition import KEYS, decompose_rate

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("dim", "std", "correlation", "truth", "claimed"),
    [
        (10, 0.5, 0.0, (0.00, 6.93), 2.81),
        (10, 0.5, 0.8, (1.12, 5.82), 2.98),
        (2, 0.3, 0.8, (0.38, 2.03), 0.41),
    ],
)
def test_known_codes_lie_between_the_bounds(dim, std, correlation, truth, claimed):
    codes, total_correlation, information = paired_codes(30_000, dim, std, correlation)
    assert (total_correlation, information) == pytest.approx(truth, abs=5e-3)
    found = decompose_rate(codes, standard_normal(dim), KEY, num_queries=1000)
    error = found["total_correlation_standard_error"]
    low, high = found["total_correlation_low"], found["total_correlation_high"]
    assert error < 0.1 and high - low < 0.3
    assert low - 4 * error < total_correlation < high + 4 * error
    assert low <= found["total_correlation"] <= high
    assert found["mutual_information"] == pytest.approx(information, abs=0.3)
    assert found["dimension_kl"] == pytest.approx(0, abs=0.05)
    assert found["batch_total_correlation"] == pytest.approx(claimed, abs=0.25)


def test_narrow_posteriors_are_told_from_known_ones_by_the_bounds():
    """A batch of 64 claims 17.6 nats where there are 2.47."""
    codes, total_correlation, information = paired_codes(30_000, 10, 0.1, 0.8)
    assert (total_correlation, information) == pytest.approx((2.47, 20.56), abs=5e-3)
    found = decompose_rate(codes, standard_normal(10), KEY, num_queries=500)
    low, high = found["total_correlation_low"], found["total_correlation_high"]
    assert low < total_correlation < high
    assert high - low > 5
    assert found["mutual_information"] < information < found["mutual_information_high"]
    assert found["batch_total_correlation"] == pytest.approx(17.6, abs=0.5)


def numbers_of(codes, prior, num_queries=300):
    found = decompose_rate(codes, prior, KEY, num_queries)
    assert found.keys() == set(KEYS)
    return found


@pytest.mark.parametrize("std", [1.0, 0.3, 1e-3])
def test_the_three_numbers_add_up_to_the_rate_of_the_same_draws(std):
    """Also where posteriors differ in size, and codes are shifted and stretched."""
    mean_key, std_key = jax.random.split(jax.random.key(2))
    mean = 2.0 * jax.random.normal(mean_key, (400, 3)) + 1.0
    codes = Codes(mean, std * jax.random.uniform(std_key, (400, 3), minval=0.5))
    found = numbers_of(codes, standard_normal(3), num_queries=400)
    eps = np.asarray(jax.random.normal(KEY, (400, 3)), np.float64)
    z = np.asarray(codes.mean, np.float64) + np.asarray(codes.std, np.float64) * eps
    log_q = -0.5 * eps**2 - np.log(np.asarray(codes.std, np.float64))
    rate = (log_q + 0.5 * z**2).sum(axis=1).mean()
    parts = "mutual_information", "total_correlation", "dimension_kl"
    assert sum(found[name] for name in parts) == pytest.approx(rate, rel=1e-5, abs=1e-4)
    whole = found["total_correlation"] + found["dimension_kl"]
    assert whole == pytest.approx(found["marginal_kl"], rel=1e-5, abs=1e-4)
    for name in ("total_correlation", "dimension_kl", "marginal_kl"):
        assert 0 <= found[f"{name}_low"] <= found[name]
    assert found["total_correlation"] <= found["total_correlation_high"]


def test_every_number_of_a_few_codes_by_hand():
    """With seven codes it shows which of them are counted."""
    num_codes = 7
    mean_key, std_key = jax.random.split(jax.random.key(3))
    codes = Codes(
        2.0 + jax.random.normal(mean_key, (num_codes, 2)),
        jax.random.uniform(std_key, (num_codes, 2), minval=0.3),
    )
    found = numbers_of(codes, standard_normal(2), num_codes)
    mean, std = (np.asarray(part, np.float64) for part in (codes.mean, codes.std))
    z = mean + std * np.asarray(jax.random.normal(KEY, (num_codes, 2)), np.float64)
    parts = scipy.stats.norm.logpdf(z[:, None], mean, std)  # of z_i under q(. | x_j)
    joint, prior = parts.sum(axis=2), scipy.stats.norm.logpdf(z).sum(axis=1)
    own = np.eye(num_codes, dtype=bool)

    def mixed(values, is_left_out):
        left = np.where(is_left_out, -np.inf, values)
        return scipy.special.logsumexp(left, axis=1) - np.log((~is_left_out).sum(1))

    none = np.zeros_like(own)
    dims, others = (
        sum(mixed(parts[..., d], left_out) for d in (0, 1)) for left_out in (none, own)
    )
    all_codes, without_own = mixed(joint, none), mixed(joint, own)
    rate = (joint[own] - prior).mean()
    low = (without_own - prior).mean()
    assert 0 < low < rate
    expected = {
        "marginal_kl": (all_codes - prior).mean(),
        "marginal_kl_low": low,
        "total_correlation": (all_codes - dims).mean(),
        "dimension_kl": (dims - prior).mean(),
        "mutual_information": rate - (all_codes - prior).mean(),
        "mutual_information_high": rate - low,
        "mutual_information_cap": np.log(num_codes),
        "total_correlation_standard_error": scipy.stats.sem(all_codes - dims),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, 1e-4)
    assert found["total_correlation_high"] == pytest.approx(
        max((all_codes - others).mean(), (all_codes - dims).mean()), rel=1e-4
    )


def test_one_dimension_shares_nothing():
    codes = Codes(jax.random.normal(KEY, (500, 1)), jnp.full((500, 1), 0.4))
    found = numbers_of(codes, standard_normal(1))
    assert found["total_correlation"] == pytest.approx(0, abs=1e-4)
    assert found["dimension_kl"] == pytest.approx(found["marginal_kl"], abs=1e-4)


def test_a_prior_whose_dimensions_depend_on_one_another_has_no_kl_by_dimension():
    def mixture(num):
        return NormalMixture(
            log_weights=jnp.log(jnp.array([0.5, 0.5])),
            component_mean=jnp.array([[2.0, 2.0], [-2.0, -2.0]]),
            component_log_std=jnp.zeros((2, 2)),
            batch_size=num,
        )

    codes = Codes(mixture(2000).sample(KEY), jnp.full((2000, 2), 0.1))
    found = numbers_of(codes, mixture)
    assert {name for name, value in found.items() if value is None} == {
        "dimension_kl",
        "dimension_kl_low",
    }
    assert found["total_correlation"] > 0.4
