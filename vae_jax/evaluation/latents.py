"""From the statistics of a split to the numbers of results.json."""

import math
from typing import Any

import jax
import numpy as np

from vae_jax.distributions import LEVELS
from vae_jax.evaluation.likelihood import Statistics
from vae_jax.types import Array

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, section 5.2


def summarize(
    statistics: Statistics,
    *,
    num_pixels: int,
    support: str,
    dequantized: bool,
    num_samples: int,
) -> dict[str, Any]:
    """Averages over a split what `likelihood.evaluate_examples` gives.

    Args:
        statistics: arrays [N], and `layers`, the moments of each latent layer.
        num_pixels: dimensions of one example, H * W * C (channels count as pixels).
        support: support of the likelihood, see `distributions`.
        dequantized: whether x was (v + u) / 256, so that a density of x bounds the
            probability of the 8-bit image v (Theis et al. 2016, section 3.1).
        num_samples: K of the statistics.

    Returns:
        Flat results, nats per example unless named otherwise: floats, or arrays []
        where the statistics are traced. What a model doesn't have is None: `rate`,
        `elbo` and all of `nll` for a plain autoencoder; all of `nll` where the
        likelihood is no density.
        `distortion`; `active_units`, the number of dimensions whose posterior mean
        varies by more than 0.01 over the data (None for one example);
        `posterior_variance`, mean over data and dimensions; `rate`; with more than one
        layer also `active_units_layer1` and `rate_layer1` (next to the data), ...;
        `elbo` = -(rate + distortion); `nll`, minus the mean IWAE bound;
        `nll_standard_error` over the data (None for one
        example); `nll_num_samples`; `effective_sample_size`, mean over examples;
        `bits_per_dim`: nll / (num_pixels ln 2) for binary and 8-bit pixels, plus 8
        for a density of dequantised pixels, None for another density.
    """
    layers = statistics["layers"]
    num_examples = len(statistics["distortion"])
    variances = [layer.variance.sum() for layer in layers]
    results: dict[str, Any] = dict.fromkeys(
        [
            "elbo",
            "rate",
            "distortion",
            "nll",
            "nll_standard_error",
            "nll_num_samples",
            "effective_sample_size",
            "bits_per_dim",
            "active_units",
            "posterior_variance",
        ]
    )
    distortion = results["distortion"] = statistics["distortion"].mean()
    results["posterior_variance"] = sum(variances) / sum(
        layer.variance.size for layer in layers
    )
    if "rate" in statistics:
        rate = results["rate"] = statistics["rate"].mean()
        results["elbo"] = -(rate + distortion)
    if "log_px" in statistics:
        log_px = statistics["log_px"]
        nll = results["nll"] = -log_px.mean()
        if num_examples > 1:
            error = log_px.std(ddof=1) / math.sqrt(num_examples)
            results["nll_standard_error"] = error
        results["nll_num_samples"] = num_samples
        results["effective_sample_size"] = statistics["ess"].mean()
        results["bits_per_dim"] = bits_per_dim(nll, num_pixels, support, dequantized)
    # A variance over the data, of which a single example has none.
    active: list[Any] = [None] * len(layers)
    if num_examples > 1:
        active = [(m.variance_of_means > ACTIVE_VARIANCE).sum() for m in layers]
        results["active_units"] = sum(active)
    if len(layers) > 1:
        for number, (layer, count) in enumerate(zip(layers, active, strict=True), 1):
            results[f"active_units_layer{number}"] = count
            rate = None if layer.kl is None else layer.kl.sum()
            results[f"rate_layer{number}"] = rate
    return {name: _plain(value) for name, value in results.items()}


def bits_per_dim(
    nll: Array | float, num_pixels: int, support: str, dequantized: bool
) -> Array | float | None:
    """Code length of a pixel; None where the density is of values that are no pixels.

    Args:
        nll: nats per example.
        num_pixels: dimensions of one example.
        support: support of the likelihood, see `distributions`.
        dequantized: whether x was (v + u) / 256: a bin then has the width 1/256, which
            adds log2(256) = 8 bits.

    Returns:
        The code length in bits per dimension.
    """
    bits = nll / (num_pixels * math.log(2.0))
    if support in ("binary", "8bit"):
        return bits
    return bits + math.log2(LEVELS) if dequantized else None


def _plain(value: Array | np.generic | float | None) -> Array | float | None:
    """A float or an int, unless the value is being traced."""
    if value is None or isinstance(value, jax.core.Tracer):
        return value
    return np.asarray(value).item()
