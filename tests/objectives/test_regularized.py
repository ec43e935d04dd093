"""The regularised autoencoder: its gradient penalty against a known Jacobian."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from tests.battery import FAST_COMPILE
from vae_jax import VAE, make_hparams
from vae_jax.errors import ContractError
from vae_jax.likelihoods import NormalLikelihood
from vae_jax.models.rae import RAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.objectives.regularized import regularized, regularized_loss
from vae_jax.posteriors import DeterministicPosterior
from vae_jax.priors import StandardNormal
from vae_jax.training.functions import apply_samples, model_functions

Z, X, B = 3, 5, 4


def make(model=RAE):
    return model(
        encoder=nn.Sequential([MLPEncoder(()), DeterministicPosterior(Z)]),
        prior=StandardNormal(Z),
        decoder=nn.Sequential([MLPDecoder((X,), ()), NormalLikelihood("fixed", 1.0)]),
    )


@pytest.fixture(scope="module")
def linear():
    x = jax.random.normal(jax.random.key(0), (B, X))
    return x, jax.jit(model_functions(make()).init)(jax.random.key(1), x)


def test_the_penalty_of_a_linear_decoder_is_the_norm_of_its_matrix(linear):
    x, params = linear
    matrix = params["decoder"]["layers_0"]["Dense_0"]["kernel"]

    @jax.jit
    @jax.vmap
    def penalty(key):
        return make().apply({"params": params}, x, key).extras["gradient_penalty"]

    found = penalty(jax.random.split(jax.random.key(2), 4000))
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(abs(found.mean(axis=0) - (matrix**2).sum()) < 5 * error)


def test_the_loss_is_the_sum_of_its_terms_and_the_penalty_has_a_gradient(linear):
    x, params = linear
    hparams = make_hparams(code_weight=0.5, gradient_weight=3.0)

    def loss(params, gradient_weight):
        output = apply_samples(
            model_functions(make()).apply, params, x, jax.random.key(5), 2
        )
        return regularized(output, x, hparams | {"gradient_weight": gradient_weight})

    value, metrics = loss(params, hparams["gradient_weight"])
    parts = metrics["distortion"] + 0.5 * metrics["code_penalty"]
    np.testing.assert_allclose(value, parts + 3.0 * metrics["gradient_penalty"], 1e-5)
    output = apply_samples(
        model_functions(make()).apply, params, x, jax.random.key(5), 2
    )
    penalties = output.extras["gradient_penalty"]
    assert penalties.shape == (2, B)
    np.testing.assert_allclose(
        metrics["gradient_penalty"], np.mean(penalties), rtol=1e-5
    )
    z = make().apply({"params": params}, x, jax.random.key(0)).codes[0]
    np.testing.assert_allclose(
        metrics["code_penalty"], 0.5 * (z**2).sum() / B, rtol=1e-5
    )
    by_params = jax.jit(jax.grad(loss, has_aux=True), compiler_options=FAST_COMPILE)
    with_it, _ = by_params(params, 3.0)
    without, _ = by_params(params, 0.0)
    path = with_it["decoder"]["layers_0"]["Dense_0"]["kernel"]
    assert not np.allclose(path, without["decoder"]["layers_0"]["Dense_0"]["kernel"])
    assert "elbo" not in metrics and "rate" not in metrics


def test_another_model_is_refused(linear):
    x, params = linear
    functions = model_functions(make(VAE))
    output = apply_samples(functions.apply, params, x, jax.random.key(5), 1)
    with pytest.raises(ContractError, match="gradient_penalty"):
        regularized_loss(output, x, make_hparams(code_weight=1.0, gradient_weight=1.0))
