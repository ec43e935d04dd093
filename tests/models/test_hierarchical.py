"""Two latent layers, against a linear-Gaussian model whose log p(x) is known."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests.battery import FAST_COMPILE, random_params, without_gradient
from vae_jax.distributions import DiagonalNormal
from vae_jax.evaluation.likelihood import importance_statistics
from vae_jax.likelihoods import NormalLikelihood
from vae_jax.models.hierarchical import HierarchicalVAE
from vae_jax.models.vae import VAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.posteriors import DiagonalNormalPosterior
from vae_jax.priors import StandardNormal
from vae_jax.trained import Trained
from vae_jax.training.functions import apply_samples, model_functions

X_DIM, Z1_DIM, Z2_DIM = 4, 3, 2
B = 4
jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)


def normal(dim, hidden=()):
    return nn.Sequential([MLPEncoder(hidden), DiagonalNormalPosterior(dim)])


def decoder(hidden=()):
    body = MLPDecoder((X_DIM,), hidden)
    return nn.Sequential([body, NormalLikelihood("fixed", 0.8)])


@pytest.fixture(scope="module")
def linear():
    """The model, parameters with every noise scale constant, and a batch."""
    model = HierarchicalVAE(
        encoders=[normal(Z1_DIM), normal(Z2_DIM)],
        prior=StandardNormal(Z2_DIM),
        decoders=[decoder(), normal(Z1_DIM)],
    )
    functions = model_functions(model)
    x = jax.random.normal(jax.random.key(0), (B, X_DIM))
    params = jit(functions.init)(jax.random.key(1), x)
    for part in ("encoders_0", "encoders_1", "decoders_1"):
        log_std = params[part]["layers_1"]["log_std"]
        log_std["kernel"] = jnp.zeros_like(log_std["kernel"])
        log_std["bias"] = jnp.full_like(log_std["bias"], -0.3)
    # Near the prior, so that no importance weight stands above all others.
    mean = params["encoders_0"]["layers_1"]["mean"]
    mean["kernel"] = 0.3 * mean["kernel"]
    return functions.apply, params, x


def test_many_samples_reach_the_exact_likelihood(linear):
    apply, params, x = linear
    dense = jax.tree.map(np.float64, params)
    to_z1 = dense["decoders_1"]["layers_1"]["mean"]["kernel"]  # [D2, D1]
    to_x = dense["decoders_0"]["layers_0"]["Dense_0"]["kernel"]  # [D1, X]
    z1_cov = to_z1.T @ to_z1 + np.exp(-0.6) * np.eye(Z1_DIM)
    x_cov = to_x.T @ z1_cov @ to_x + 0.8**2 * np.eye(X_DIM)
    exact = scipy.stats.multivariate_normal(np.zeros(X_DIM), x_cov).logpdf(
        np.asarray(x)
    )
    stats = jit(importance_statistics, static_argnums=(0, 4, 5))(
        apply, params, x, jax.random.key(2), 100_000, 1000
    )
    error = 1 / np.sqrt(stats["ess"])  # of log_px, near enough
    assert np.all(error < 0.1)
    assert np.all(np.abs(stats["log_px"] - exact) < 5 * error)
    assert [m.shape for m in stats["mean"]] == [(B, Z1_DIM), (B, Z2_DIM)]
    assert [kl.shape for kl in stats["kl"]] == [(B, Z1_DIM), (B, Z2_DIM)]


def test_rate_is_the_expectation_of_the_log_ratio(linear):
    """Where p(z1 | z2) sees z1, KL(q, p) with p held fixed would be another number."""
    apply, params, x = linear
    output = jit(apply_samples, static_argnums=(0, 4))(
        apply, params, x, jax.random.key(3), 20_000
    )

    @jit
    @jax.vmap
    def ratio_and_rate(output):
        return output.log_ratio(), output.rate()

    log_ratio, rate = ratio_and_rate(output)

    def assert_same_mean(a, b):
        difference = a - b
        error = difference.std(axis=0) / np.sqrt(len(a))
        assert np.all(np.abs(difference.mean(axis=0)) < 5 * error)

    assert_same_mean(rate, -log_ratio)
    blind = tuple(
        dataclasses.replace(latent, prior_depends_on_z=False)
        for latent in output.latents
    )
    _, wrong = ratio_and_rate(dataclasses.replace(output, latents=blind))
    with pytest.raises(AssertionError):
        assert_same_mean(wrong, -log_ratio)


def test_top_layer_has_a_closed_form_and_the_others_do_not(linear):
    apply, params, x = linear
    output = jax.eval_shape(apply, params, x, jax.random.key(0))
    assert [lat.has_closed_form_kl for lat in output.latents] == [False, True]


def test_ancestral_samples_have_the_model_covariance(linear):
    _, params, _ = linear
    model = HierarchicalVAE(
        encoders=[normal(Z1_DIM), normal(Z2_DIM)],
        prior=StandardNormal(Z2_DIM),
        decoders=[decoder(), normal(Z1_DIM)],
    )

    @jit
    def draw(temperature):
        return (
            Trained(model, params).prior(50_000).sample(jax.random.key(5), temperature)
        )

    to_z1 = np.asarray(params["decoders_1"]["layers_1"]["mean"]["kernel"])
    expected = to_z1.T @ to_z1 + np.exp(-0.6) * np.eye(Z1_DIM)
    codes = draw(1.0)
    np.testing.assert_allclose(np.cov(codes[0].T), expected, atol=0.05)
    np.testing.assert_allclose(np.cov(draw(0.5)[0].T), expected / 4, atol=0.02)
    few = tuple(z[:3] for z in codes)
    trained = Trained(model, params)
    whole = trained.prior(3).sample(jax.random.key(5))
    for above in range(3):  # each layer has a key of its own
        kept = trained.prior(3).sample(jax.random.key(5), above=whole[above:])
        jax.tree.map(np.testing.assert_array_equal, kept, whole)
    other = trained.prior(3).sample(jax.random.key(6), above=few[1:])
    np.testing.assert_array_equal(other[1], few[1])
    assert np.all(other[0] != few[0])
    assert trained.decode(few).mean.shape == (3, X_DIM)
    # log p(z1 | z2) + log p(z2), with the layers' own distributions.
    below = trained._call(lambda m, z: m.decoders[1](z), few[1])
    expected = below.log_prob(few[0]) + DiagonalNormal.standard_like(few[1]).log_prob(
        few[1]
    )
    np.testing.assert_allclose(trained.prior(3).log_prob(few), expected, rtol=1e-5)


def test_one_layer_is_the_plain_vae():
    x = jax.random.normal(jax.random.key(0), (B, X_DIM))
    deep = HierarchicalVAE([normal(2, (5,))], StandardNormal(2), [decoder((5,))])
    flat = VAE(normal(2, (5,)), StandardNormal(2), decoder((5,)))
    params = random_params(model_functions(deep), x)
    flat_params = {"encoder": params["encoders_0"], "decoder": params["decoders_0"]}
    key = jax.random.key(2)
    one = deep.apply({"params": params}, x, key)
    other = flat.apply({"params": flat_params}, x, jax.random.split(key, 1)[0])
    jax.tree.map(np.testing.assert_array_equal, one, other)
    latents = Trained(deep, params).encode(x, key)
    jax.tree.map(np.testing.assert_array_equal, latents, one.latents)


def test_three_layers_train_every_parameter():
    x = jax.random.normal(jax.random.key(0), (B, X_DIM))
    model = HierarchicalVAE(
        encoders=[normal(4, (5,)), normal(3, (5,)), normal(2, (5,))],
        prior=StandardNormal(2),
        decoders=[decoder((5,)), normal(4, (5,)), normal(3, (5,))],
    )
    functions = model_functions(model)
    params = random_params(functions, x)

    def log_w(params, x):
        return functions.apply(params, x, jax.random.key(2)).log_w(x)

    # One row of [B, B, X] per example, and its gradient in the parameters.
    by_params, jacobian = jit(jax.jacrev(log_w, argnums=(0, 1)))(params, x)
    assert without_gradient(jax.tree.map(lambda g: g.sum(axis=0), by_params)) == []
    jacobian = np.asarray(jacobian)
    own = np.eye(B, dtype=bool)
    assert np.all(jacobian[~own] == 0) and np.all(jacobian[own].any(axis=-1))
