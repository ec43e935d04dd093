"""The summary of per-image statistics, against hand-made arrays."""

import dataclasses
import math

import numpy as np
import pytest

from vae_jax.evaluation.latents import (
    bits_per_dim,
    summarize,
)
from vae_jax.evaluation.moments import Moments


def layer(mean, variance, kl=None):
    """The moments of posterior means [N, D], of one variance, and perhaps a KL."""
    scatter = ((mean - mean.mean(axis=0)) ** 2).sum(axis=0)
    variances = np.full(mean.shape[1], variance)
    return Moments(len(mean), mean.mean(axis=0), scatter, variances, kl)


def summary(statistics, num_samples=5000):
    return summarize(
        statistics,
        num_pixels=784,
        support="binary",
        dequantized=False,
        num_samples=num_samples,
    )


@pytest.fixture
def statistics():
    rng = np.random.default_rng(0)
    num_images = 500
    scales = np.array([1.0, 0.12, 0.08, 0.0])  # variances 1, .0144, .0064, 0
    return {
        "distortion": rng.uniform(70, 90, num_images),
        "rate": rng.uniform(20, 30, num_images),
        "layers": (
            layer(rng.normal(size=(num_images, 4)) * scales, 0.1, np.full(4, 5.0)),
            layer(rng.normal(size=(num_images, 2)), 0.4, np.array([4.5])),
        ),
        "log_px": rng.normal(-90, 12, num_images),
        "ess": np.full(num_images, 3.5),
    }


def test_every_number(statistics):
    results = summary(statistics)
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
        "rate_layer1": 20.0,
        "rate_layer2": 4.5,
        "posterior_variance": 0.2,
    }
    assert results == pytest.approx(expected)
    assert all(type(value) in (int, float) for value in results.values())


def test_one_image_has_no_variance_over_images(statistics):
    one = {name: v[:1] for name, v in statistics.items() if name != "layers"}
    results = summary({**one, "layers": statistics["layers"]})
    undefined = {name for name, value in results.items() if value is None}
    assert undefined == {
        "active_units",
        "active_units_layer1",
        "active_units_layer2",
        "nll_standard_error",
    }


def test_one_layer_has_no_numbers_per_layer(statistics):
    statistics["layers"] = statistics["layers"][:1]
    results = summary(statistics)
    assert results["active_units"] == 2
    assert not any("layer" in name for name in results)


def test_an_autoencoder_has_no_rate_and_no_likelihood(statistics):
    layers = [dataclasses.replace(layer, kl=None) for layer in statistics["layers"]]
    kept = {"distortion": statistics["distortion"], "layers": layers}
    results = summary(kept)
    missing = {name for name, value in results.items() if value is None}
    assert missing == {
        "rate",
        "elbo",
        "nll",
        "nll_standard_error",
        "nll_num_samples",
        "effective_sample_size",
        "bits_per_dim",
        "rate_layer1",
        "rate_layer2",
    }


def test_bits_per_dim_of_a_uniform_model():
    """256 equal levels cost 8 bits, as a mass or as a density on dequantised pixels."""
    assert bits_per_dim(12 * math.log(256), 12, "8bit", False) == pytest.approx(8)
    assert bits_per_dim(0.0, 12, "unit", True) == pytest.approx(8)
    assert bits_per_dim(12 * math.log(2), 12, "binary", False) == pytest.approx(1)
    assert bits_per_dim(0.0, 12, "real", False) is None
