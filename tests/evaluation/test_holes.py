"""The hole mass against total variation distances known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vae_jax.evaluation.aggregate import Codes, standard_normal
from vae_jax.evaluation.holes import hole_mass

DIM = 6
NUM_CODES, NUM_HELDOUT = 50_000, 5_000


def measure(make, std=1e-4):
    """Hole mass of codes that `make(normal draws [n, D])` keeps or moves."""
    train, heldout = (
        make(jax.random.normal(jax.random.key(seed), (3 * num, DIM)))[:num]
        for seed, num in ((1, NUM_CODES), (2, NUM_HELDOUT))
    )
    assert len(train) == NUM_CODES
    codes = Codes(train, jnp.full(train.shape, std))
    return hole_mass(codes, heldout, standard_normal(DIM), jax.random.key(0))


@pytest.mark.parametrize("std", [0.0, 1e-4])
def test_codes_that_fill_the_prior_leave_no_hole_even_as_spikes(std):
    # 2 / sqrt(10,000 held-out rows) is 2 standard errors of 2 accuracy - 1.
    assert measure(lambda z: z, std) == pytest.approx(0, abs=0.04)


def test_hole_cut_out_around_the_origin():
    radius = stats.chi2.ppf(0.3, DIM)
    found = measure(lambda z: z[np.asarray((z**2).sum(1) > radius)])
    assert 0.24 < found < 0.34  # the truth is 0.3, and this is a lower bound


def test_slab_cut_out_of_one_dimension():
    found = measure(lambda z: z[np.asarray(jnp.abs(z[:, 0]) > 0.5)])
    truth = 2 * stats.norm.cdf(0.5) - 1
    assert truth - 0.06 < found < truth + 0.04


def test_shifted_posterior():
    truth = 2 * stats.norm.cdf(0.5 * 0.6 * np.sqrt(DIM)) - 1
    assert truth - 0.06 < measure(lambda z: z + 0.6) < truth + 0.04


def test_shrunken_posterior():
    scale = 0.5
    # p and q are equal at this squared radius.
    radius = -2 * DIM * np.log(scale) / (scale**-2 - 1)
    truth = stats.chi2.cdf(radius / scale**2, DIM) - stats.chi2.cdf(radius, DIM)
    assert truth - 0.06 < measure(lambda z: scale * z) < truth + 0.04


def test_codes_far_outside_leave_the_whole_prior_empty():
    assert measure(lambda z: 30 + z) > 0.99
