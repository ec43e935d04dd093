"""The plain VAE: exact on a linear model, with one path for codes and draws."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests import linear_gaussian as lg
from tests.battery import FAST_COMPILE, random_params
from vae_jax.distributions import LOG_STD_BOUND, kl_divergence
from vae_jax.errors import ContractError
from vae_jax.likelihoods import BernoulliLikelihood, NormalLikelihood
from vae_jax.models.vae import VAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.posteriors import DeterministicPosterior, DiagonalNormalPosterior
from vae_jax.priors import StandardNormal
from vae_jax.trained import Trained
from vae_jax.training.functions import apply_samples, model_functions
from vae_jax.training.state import make_hparams

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
B, D = 5, 2
KEY = jax.random.key(4)


def small_vae(posterior=DiagonalNormalPosterior):
    return VAE(
        encoder=nn.Sequential([MLPEncoder((6,)), posterior(D)]),
        prior=StandardNormal(D),
        decoder=nn.Sequential([MLPDecoder((3, 2, 1), (6,)), BernoulliLikelihood()]),
    )


@pytest.fixture(scope="module")
def small():
    model = small_vae()
    x = jnp.round(jax.random.uniform(jax.random.key(0), (B, 3, 2, 1)))
    return model, {"params": random_params(model_functions(model), x)}, x


def linear_vae(shift=0.0):
    """The Flax model of `linear_gaussian`, and its parameters."""
    theirs = lg.make_params(shift=shift)
    std = float(jnp.exp(theirs["decoder"]["log_std"]))
    model = VAE(
        encoder=nn.Sequential([MLPEncoder(()), DiagonalNormalPosterior(lg.LATENT_DIM)]),
        prior=StandardNormal(lg.LATENT_DIM),
        decoder=nn.Sequential(
            [MLPDecoder((lg.DATA_DIM,), ()), NormalLikelihood("fixed", std)]
        ),
    )
    encoder, decoder = theirs["encoder"], theirs["decoder"]
    raw_log_std = LOG_STD_BOUND * jnp.arctanh(encoder["log_std"] / LOG_STD_BOUND)
    posterior = {
        "mean": {"kernel": encoder["weights"], "bias": encoder["bias"]},
        "log_std": {"kernel": 0 * encoder["weights"], "bias": raw_log_std},
    }
    dense = {"kernel": decoder["weights"].T, "bias": decoder["bias"]}
    params = {
        "encoder": {"layers_1": posterior},
        "decoder": {"layers_0": {"Dense_0": dense}},
    }
    return model, params


def test_every_draw_gives_log_px_at_the_exact_posterior():
    model, params = linear_vae()
    x = lg.draw_x(lg.make_params(), B)
    functions = model_functions(model)
    shapes = jax.eval_shape(functions.init, KEY, x)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda s: s.shape, shapes)
    output = jit(apply_samples, static_argnums=(0, 4))(
        functions.apply, params, x, KEY, 50
    )
    log_w = jax.vmap(lambda out: out.log_w(x))(output)  # [K, B]
    exact = lg.exact(lg.make_params()).logpdf(np.asarray(x))
    np.testing.assert_allclose(log_w, np.tile(exact, (50, 1)), rtol=1e-4)


def test_elbo_of_another_posterior_falls_short_by_its_kl_to_the_exact_one():
    model, params = linear_vae(shift=0.4)
    x = lg.draw_x(lg.make_params(), B)
    output = jit(apply_samples, static_argnums=(0, 4))(
        model_functions(model).apply, params, x, KEY, 20_000
    )
    _, metrics = elbo_loss(output, x, make_hparams(kl_weight=1.0))
    exact = lg.exact(lg.make_params()).logpdf(np.asarray(x)).mean()
    moved, best = (lg.encode(lg.make_params(shift), x) for shift in (0.4, 0.0))
    gap = float(kl_divergence(moved, best).sum(axis=1).mean())
    draws = np.float64(jax.vmap(lambda out: out.log_lik(x).mean())(output))
    error = draws.std() / np.sqrt(len(draws))
    assert abs(metrics["elbo"] - (exact - gap)) < 5 * error < 0.2 * gap


def test_parts_are_those_of_the_whole(small):
    model, params, x = small
    output = model.apply(params, x, KEY)
    (latent,) = output.latents
    trained = Trained(model, params["params"])
    latents = trained.encode(x, KEY)
    jax.tree.map(np.testing.assert_array_equal, latents, output.latents)
    q = latents[0].posterior
    eps = jax.random.normal(KEY, (B, D))
    np.testing.assert_allclose(latent.z, q.mean + q.std * eps, rtol=1e-5, atol=1e-6)
    p = trained.decode(latent.z)
    jax.tree.map(np.testing.assert_array_equal, p, trained.decode((latent.z,)))
    jax.tree.map(np.testing.assert_array_equal, p, output.likelihood)
    assert p.mean.shape == x.shape
    zeros = np.zeros((B, D))
    jax.tree.map(
        lambda field: np.testing.assert_array_equal(field, zeros), latent.prior
    )
    assert set(params["params"]) == {"encoder", "decoder"}


def test_noise_is_that_of_the_key_alone_and_of_each_row(small):
    model, params, x = small
    same_images = jnp.broadcast_to(x[:1], x.shape)
    first, again, other = (
        model.apply(params, same_images, key).latents[0]
        for key in (KEY, KEY, jax.random.key(5))
    )
    np.testing.assert_array_equal(first.z, again.z)
    assert (first.z != other.z).all()
    np.testing.assert_array_equal(first.posterior.mean, other.posterior.mean)
    assert len(np.unique(first.z)) == B * D


def test_encoder_is_computed_once_for_all_samples():
    """Eight samples of a model with a large encoder cost what one does."""
    model = VAE(
        encoder=nn.Sequential([MLPEncoder((300, 300)), DiagonalNormalPosterior(D)]),
        prior=StandardNormal(D),
        decoder=nn.Sequential([MLPDecoder((3, 2, 1), (6,)), BernoulliLikelihood()]),
    )
    functions = model_functions(model)
    x = jnp.zeros((B, 3, 2, 1))
    params = random_params(functions, x)

    def flops(num_samples):
        def loss(params):
            output = apply_samples(functions.apply, params, x, KEY, num_samples)
            return elbo_loss(output, x, make_hparams(kl_weight=1.0))[0]

        lowered = jax.jit(jax.grad(loss)).lower(params)
        cost = lowered.compile().cost_analysis()
        return (cost[0] if isinstance(cost, list) else cost)["flops"]

    assert flops(8) < 1.2 * flops(1)


def test_prior_samples_and_their_temperature(small):
    model, params, _ = small

    @jit
    def draw(temperature):
        prior = Trained(model, params["params"]).prior(20_000)
        return prior.sample(KEY, temperature)[0]

    z = np.float64(draw(1.0))
    assert z.shape == (20_000, D)
    assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(len(z))
    np.testing.assert_allclose(np.cov(z.T), np.eye(D), atol=5 * np.sqrt(2 / len(z)))
    np.testing.assert_allclose(draw(0.5), 0.5 * z, rtol=1e-5)
    assert (draw(0.0) == 0).all()


def test_codes_of_one_layer_may_be_one_array(small):
    model, params, _ = small
    trained = Trained(model, params["params"])
    for num in (1, 3):
        z = jax.random.normal(KEY, (num, D))
        prior = trained.prior(num)
        exact = scipy.stats.norm.logpdf(z).sum(axis=1)
        for codes in (z, (z,), [z]):
            np.testing.assert_allclose(prior.log_prob(codes), exact, rtol=1e-5)
        (kept,) = prior.sample(KEY, above=z)
        np.testing.assert_array_equal(kept, z)
        for wrong in (prior.log_prob, trained.decode):
            with pytest.raises(ContractError, match="codes are of 2 layers"):
                wrong((z, z))
    with pytest.raises(ContractError, match="the parameters are not those of this mod"):
        trained.decode(jnp.zeros((2, D + 1)))


def test_autoencoder_is_a_vae_without_noise(small):
    _, of_vae, x = small
    model = small_vae(DeterministicPosterior)
    functions = model_functions(model)
    params = random_params(functions, x)
    one, other = (functions.apply(params, x, jax.random.key(seed)) for seed in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert not one.has_density
    assert (one.rate() == 0).all()
    with pytest.raises(TypeError, match="no density"):
        one.log_w(x)
    # The parameters are those of the VAE without the standard deviations.
    shapes = jax.tree.map(jnp.shape, of_vae["params"])
    del shapes["encoder"]["layers_1"]["log_std"]
    assert jax.tree.map(jnp.shape, params) == shapes
