"""The summary of per-image statistics, against hand-made arrays."""

import math

import jax
import numpy as np
import pytest

from vae_jax.evaluation.latents import (
    active_units,
    bits_per_dim,
    kl_by_dimension,
    summarize,
)


@pytest.fixture
def statistics():
    rng = np.random.default_rng(0)
    num_images = 500
    scales = np.array([1.0, 0.12, 0.08, 0.0])  # variances 1, .0144, .0064, 0
    return {
        "distortion": rng.uniform(70, 90, num_images),
        "rate": rng.uniform(20, 30, num_images),
        "kl": (rng.uniform(0, 9, (num_images, 4)), rng.uniform(0, 9, (num_images, 2))),
        "mean": (
            rng.normal(size=(num_images, 4)) * scales,
            rng.normal(size=(num_images, 2)),
        ),
        "variance": (np.full((num_images, 4), 0.1), np.full((num_images, 2), 0.4)),
        "log_px": rng.normal(-90, 12, num_images),
        "ess": np.full(num_images, 3.5),
        "elbo_mc": np.full(num_images, -100.0),
    }


def test_every_number(statistics):
    results = summarize(statistics, 784, "binary", False, num_samples=5000)
    expected = {
        "distortion": statistics["distortion"].mean(),
        "rate": statistics["rate"].mean(),
        "elbo": -(statistics["rate"] + statistics["distortion"]).mean(),
        "nll": -statistics["log_px"].mean(),
        "nll_standard_error": statistics["log_px"].std(ddof=1) / math.sqrt(500),
        "nll_num_samples": 5000,
        "effective_sample_size": 3.5,
        "bits_per_dim": -statistics["log_px"].mean() / 784 / math.log(2),
        "active_units": 4,
        "active_units_layer1": 2,
        "active_units_layer2": 2,
        "posterior_variance": 0.2,
    }
    assert results == pytest.approx(expected)
    assert all(type(value) in (int, float) for value in results.values())


def test_one_image_has_no_variance_over_images(statistics):
    one = jax.tree.map(lambda values: values[:1], statistics)
    results = summarize(one, 784, "binary", False, num_samples=5000)
    undefined = {name for name, value in results.items() if value is None}
    assert undefined == {
        "active_units",
        "active_units_layer1",
        "active_units_layer2",
        "nll_standard_error",
    }


def test_one_layer_has_no_numbers_per_layer(statistics):
    for name in ("kl", "mean", "variance"):
        statistics[name] = statistics[name][:1]
    results = summarize(statistics, 784, "binary", False, num_samples=5000)
    assert results["active_units"] == 2
    assert not any("layer" in name for name in results)


def test_an_autoencoder_has_no_rate_and_no_likelihood(statistics):
    kept = {name: statistics[name] for name in ("distortion", "mean", "variance")}
    results = summarize(kept, 784, "binary", False, num_samples=10)
    missing = {name for name, value in results.items() if value is None}
    assert missing == {
        "rate",
        "elbo",
        "nll",
        "nll_standard_error",
        "nll_num_samples",
        "effective_sample_size",
        "bits_per_dim",
    }


def test_bits_per_dim_of_a_uniform_model():
    """256 equal levels cost 8 bits, as a mass or as a density on dequantised pixels."""
    assert bits_per_dim(12 * math.log(256), 12, "8bit", False) == pytest.approx(8)
    assert bits_per_dim(0.0, 12, "unit", True) == pytest.approx(8)
    assert bits_per_dim(12 * math.log(2), 12, "binary", False) == pytest.approx(1)
    assert bits_per_dim(0.0, 12, "real", False) is None


def test_kl_and_active_units_per_layer(statistics):
    assert active_units(statistics) == (2, 2)
    first, second = kl_by_dimension(statistics)
    np.testing.assert_allclose(first, statistics["kl"][0].mean(axis=0))
    assert second.shape == (2,)
