"""A fitted prior in a model whose codes as a whole have a known distribution."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from tests.evaluation.test_measures import (
    DATA,
    HELDOUT,
    NOISE,
    TRAIN,
    WEIGHT,
    Linear,
    of_arrays,
)
from vae_jax.evaluation import measures
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.fitted import mixture
from vae_jax.fitted.base import Draws
from vae_jax.outputs import VAEOutput
from vae_jax.runs.fit_prior import codes_of
from vae_jax.trained import Trained

KEY = jax.random.key(0)
SHIFT, SCALE = 2.0, 3.0  # q(z) is N(SHIFT, SCALE^2 I), and the model's prior N(0, I)


class Whole(Linear):
    """The same model with the one method that training needs."""

    def __call__(self, x, key):
        latents = self.encode(x, key)
        return VAEOutput(self.decode((latents[0].z,)), latents)


@pytest.fixture(scope="module")
def trained():
    """The model with a normal fitted to its codes, which have another shape."""
    own = Trained(
        Whole(shift=SHIFT, scale=SCALE, code_shape=(2, 1)), {"weight": WEIGHT}
    )
    codes = codes_of(own, of_arrays(TRAIN), KEY)
    assert codes.shape == (3000, 2, 1)
    return dataclasses.replace(
        own, fitted=mixture.fit_gaussian(Draws(codes, codes), KEY)
    )


def test_the_normal_is_that_of_the_codes(trained):
    bands = 4 * SCALE / np.sqrt(len(TRAIN))
    np.testing.assert_allclose(trained.fitted.mean[0], SHIFT, atol=bands)
    np.testing.assert_allclose(np.diag(trained.fitted.root[0]), SCALE, atol=bands)


def test_the_bound_becomes_the_exact_likelihood(trained):
    """With the exact posterior, only a wrong prior keeps the ELBO below it."""
    covariance = WEIGHT.T @ WEIGHT + NOISE**2 * np.eye(6)
    rows = HELDOUT.reshape(len(HELDOUT), -1)
    exact = multivariate_normal(np.zeros(6), covariance).logpdf(rows).mean()
    own = dataclasses.replace(trained, fitted=None)
    found = {
        name: measures.measure(["likelihood"], model, DATA, KEY)
        for name, model in {"fitted": trained, "own": own}.items()
    }
    # 3,000 codes cost about 5 / 6,000 nats.
    np.testing.assert_allclose(found["fitted"]["elbo"], exact, atol=0.02)
    np.testing.assert_allclose(found["fitted"]["nll"], -exact, atol=0.02)
    assert found["own"]["elbo"] < exact - 1
    assert found["own"]["distortion"] == found["fitted"]["distortion"]


def test_measures_of_codes_see_it(trained):
    prior = FirstLayer.of(trained, HELDOUT[:1]).prior(7)
    drawn = prior.sample(KEY)
    assert drawn.shape == (7, 2)
    np.testing.assert_allclose(
        prior.log_prob(drawn), trained.fitted.log_prob(jnp.reshape(drawn, (7, 2, 1)))
    )


def test_an_autoencoder_still_has_no_bound(trained):
    model = dataclasses.replace(trained.model, is_point=True)
    point = dataclasses.replace(trained, model=model)
    numbers = measures.measure(["likelihood"], point, DATA, KEY)
    assert numbers["distortion"] > 0
    assert [numbers[key] for key in ("rate", "elbo", "nll")] == [None] * 3
    assert point.sample(KEY, 3).mean.shape == (3, *HELDOUT.shape[1:])
