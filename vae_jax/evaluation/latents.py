"""From per-example statistics to the numbers of results.json."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vae_jax.distributions import LEVELS

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, section 5.2


def summarize(
    statistics: Mapping[str, Any],
    num_pixels: int,
    support: str,
    dequantized: bool,
    num_samples: int,
) -> dict[str, float | None]:
    """Averages over a split what `likelihood.evaluate_images` gives per image.

    Args:
        statistics: arrays [N] and tuples over layers of [N, D_l].
        num_pixels: dimensions of one image, H * W * C (channels count as pixels).
        support: of the likelihood, see `distributions`.
        dequantized: whether x was (v + u) / 256, so that a density of x bounds the
            probability of the 8-bit image v (Theis et al. 2016, section 3.1).
        num_samples: K of the statistics.

    Returns:
        Flat results, nats per image unless named otherwise. What a model doesn't have
        is None: `rate`, `elbo` and all after it for a plain autoencoder; `nll` and all
        after it where the likelihood is no density.
        `distortion`; `active_units`, the number of dimensions whose posterior mean
        varies by more than 0.01 over the data (None for one image), with more than one
        layer also `active_units_layer1` (next to the data), ...; `posterior_variance`,
        mean over data and dimensions; `rate`; `elbo` = -(rate + distortion); `nll`,
        minus the mean IWAE bound; `nll_standard_error` over the data (None for one
        image); `nll_num_samples`; `effective_sample_size`, mean over images;
        `bits_per_dim`: nll / (num_pixels ln 2) for binary and 8-bit pixels, plus 8
        for a density of dequantised pixels, None for another density.
    """
    # A variance over the data, of which a single image has none.
    num_images = len(statistics["distortion"])
    active = active_units(statistics)
    variances = np.concatenate(statistics["variance"], axis=1)
    rate = elbo = nll = error = ess = bits = None
    if "rate" in statistics:
        rate = _mean(statistics["rate"])
        elbo = -_mean(statistics["rate"] + statistics["distortion"])
    if "log_px" in statistics:
        log_px = np.asarray(statistics["log_px"], np.float64)
        nll = -_mean(log_px)
        if len(log_px) > 1:
            error = float(log_px.std(ddof=1) / math.sqrt(len(log_px)))
        ess = _mean(statistics["ess"])
        bits = bits_per_dim(nll, num_pixels, support, dequantized)
    results = {
        "elbo": elbo,
        "rate": rate,
        "distortion": _mean(statistics["distortion"]),
        "nll": nll,
        "nll_standard_error": error,
        "nll_num_samples": None if nll is None else num_samples,
        "effective_sample_size": ess,
        "bits_per_dim": bits,
        "active_units": sum(active) if num_images > 1 else None,
        "posterior_variance": _mean(variances),
    }
    if len(active) > 1:
        for layer, count in enumerate(active, start=1):
            results[f"active_units_layer{layer}"] = count if num_images > 1 else None
    return results


def bits_per_dim(
    nll: float, num_pixels: int, support: str, dequantized: bool
) -> float | None:
    """Code length of a pixel; None where the density is of values that are no pixels.

    Args:
        nll: nats per image.
        num_pixels: dimensions of one image.
        support: of the likelihood.
        dequantized: whether x was (v + u) / 256: a bin then has the width 1/256, which
            adds log2(256) = 8 bits.

    Returns:
        Bits per dimension.
    """
    bits = nll / (num_pixels * math.log(2.0))
    if support in ("binary", "8bit"):
        return bits
    return bits + math.log2(LEVELS) if dequantized else None


def active_units(statistics: Mapping[str, Any]) -> tuple[int, ...]:
    """Per layer, how many dimensions' posterior means vary by more than 0.01.

    A_u = Var_x(E_q[u | x]) > 0.01. Source: Burda et al. 2016, section 5.2.
    """
    return tuple(
        int((np.var(mean, axis=0, dtype=np.float64) > ACTIVE_VARIANCE).sum())
        for mean in statistics["mean"]
    )


def kl_by_dimension(statistics: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
    """Mean over the data of each dimension's KL, nats: per layer [D_l].

    Raises:
        KeyError: the model has no density (a plain autoencoder).
    """
    return tuple(np.asarray(kl, np.float64).mean(axis=0) for kl in statistics["kl"])


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values, dtype=np.float64))
