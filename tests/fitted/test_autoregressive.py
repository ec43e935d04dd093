"""A transformer over the sites of discrete codes, where all codes can be counted."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from vae_jax.errors import ConfigError
from vae_jax.fitted import autoregressive
from vae_jax.fitted.base import Draws

KEY = jax.random.key(0)
CODES, SITES = 3, 2
CODEBOOK = jnp.asarray(np.random.default_rng(0).normal(size=(CODES, 4)), jnp.float32)
DRAWS = 3000
ALL = jnp.asarray(list(itertools.product(range(CODES), repeat=SITES)))  # [9, 2]

# One program each for all tests.
sample = jax.jit(
    lambda prior, temperature: prior.sample(KEY, DRAWS, temperature)  # in chunks
)
logits = jax.jit(lambda prior, index: prior.logits(index))


def draws(index: np.ndarray) -> Draws:
    z = CODEBOOK[index]
    return Draws(z, z, CODEBOOK)


@pytest.fixture(scope="module")
def prior():
    """One whose logits are far from equal."""
    start = autoregressive.like(draws(ALL), KEY, num_layers=1, width=16)
    params = jax.tree.map(lambda leaf: 4 * leaf, start.params)
    return dataclasses.replace(start, params=params)


def test_probabilities_of_all_codes_sum_to_one_and_draws_have_them(prior):
    p = np.exp(np.asarray(prior.log_prob(CODEBOOK[ALL]), np.float64))
    np.testing.assert_allclose(p.sum(), 1.0, atol=1e-5)
    assert p.max() > 3 * p.min()
    drawn = sample(prior, 1.0)
    assert drawn.shape == (DRAWS, SITES, 4)
    places = np.asarray(prior.index(drawn)) @ [CODES, 1]
    counts = np.bincount(places, minlength=CODES**SITES)
    assert chisquare(counts, DRAWS * p / p.sum()).pvalue > 1e-3


def test_a_site_does_not_see_itself_or_what_comes_later(prior):
    index = jnp.zeros_like(ALL)
    for site in range(SITES):
        changed = index.at[:, site].set(2)
        change = np.abs(logits(prior, index) - logits(prior, changed))
        differs = change.max(axis=(0, 2))
        assert (differs[: site + 1] == 0).all()
        assert (differs[site + 1 :] > 1e-3).all()


def test_temperature_zero_draws_the_likeliest_code_of_each_site(prior):
    drawn = prior.index(sample(prior, 0.0))
    assert (drawn == drawn[:1]).all()
    assert (logits(prior, drawn[:9]).argmax(axis=2) == drawn[:9]).all()


@pytest.mark.slow
def test_it_learns_what_a_site_tells_of_the_next():
    """The second code follows from the first, which is one of three alike."""
    first = np.random.default_rng(0).integers(0, CODES, 200)
    codes = draws(np.stack([first, (first + 1) % CODES], axis=1))
    codes = codes._replace(  # of two axes of sites
        train=codes.train.reshape(200, 1, 2, 4),
        validation=codes.validation.reshape(200, 1, 2, 4),
    )
    prior = autoregressive.fit(codes, KEY, num_layers=1, width=16, num_steps=200)
    log_prob, drawn = jax.jit(lambda p, z: (p.log_prob(z), p.sample(KEY, 100)))(
        prior, codes.train
    )
    np.testing.assert_allclose(-log_prob.mean(), np.log(CODES), atol=0.1)
    assert drawn.shape == (100, 1, 2, 4)
    index = np.asarray(prior.index(drawn))
    assert (index[:, 1] == (index[:, 0] + 1) % CODES).mean() > 0.9


def test_heads_divide_the_width():
    with pytest.raises(ConfigError, match=r"width=6: must be a multiple of 4"):
        autoregressive.fit(draws(ALL), KEY, width=6)
