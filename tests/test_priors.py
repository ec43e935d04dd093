"""Priors: a mixture against scipy, and pseudo-inputs that share the encoder."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from vae_jax.distributions.mixtures import NormalMixture
from vae_jax.likelihoods import BernoulliLikelihood
from vae_jax.models.base import Chain
from vae_jax.models.vae import VAE
from vae_jax.networks.gated import GatedDense, GatedMLPDecoder, GatedMLPEncoder
from vae_jax.networks.residual import ResidualEncoder
from vae_jax.posteriors import DeterministicPosterior, DiagonalNormalPosterior
from vae_jax.priors import MixturePrior, UniformPrior, VampPrior
from vae_jax.quantizers.scalar import FSQPosterior, grid
from vae_jax.trained import Trained, first_posterior
from vae_jax.training.functions import model_functions

C, D, B = 6, 3, 50


@pytest.fixture
def mixture():
    keys = jax.random.split(jax.random.key(0), 3)
    return NormalMixture(
        log_weights=jax.nn.log_softmax(jax.random.normal(keys[0], (C,))),
        component_mean=2 * jax.random.normal(keys[1], (C, D)),
        component_log_std=jax.random.uniform(keys[2], (C, D), minval=-3.0, maxval=0.5),
        batch_size=B,
    )


def scipy_log_prob(mixture, x):
    mean, log_std = map(np.float64, (mixture.component_mean, mixture.component_log_std))
    per_dim = scipy.stats.norm(mean, np.exp(log_std)).logpdf(np.float64(x)[:, None, :])
    log_weights = np.float64(mixture.log_weights)
    return scipy.special.logsumexp(per_dim.sum(axis=2) + log_weights, axis=1)


def test_log_prob_is_that_of_scipy(mixture):
    near = mixture.sample(jax.random.key(1))
    far = 5 * jax.random.normal(jax.random.key(2), (B, D))
    for x in (near, far):
        np.testing.assert_allclose(
            mixture.log_prob(x), scipy_log_prob(mixture, x), rtol=1e-4, atol=2e-3
        )


def test_multiplied_out_square_keeps_its_digits_at_full_size():
    """500 narrow components in 40 dimensions: the error is below 0.01 nats."""
    keys = jax.random.split(jax.random.key(0), 3)
    mixture = NormalMixture(
        log_weights=jnp.full(500, -jnp.log(500.0)),
        component_mean=jax.random.normal(keys[0], (500, 40)),
        component_log_std=jnp.full((500, 40), -3.0),  # the narrowest of the VampPrior
        batch_size=100,
    )
    x = mixture.sample(keys[1])
    error = np.asarray(mixture.log_prob(x)) - scipy_log_prob(mixture, x)
    assert np.abs(error).max() < 0.01


@pytest.mark.parametrize("log_std", [-8.0, -9.9])
def test_no_density_exceeds_that_at_the_mean_however_narrow(log_std):
    """Rounding would else be worth tens of nats to a prior that is learned."""
    mixture = NormalMixture(
        jnp.log(jnp.full(2, 0.5)),
        jax.random.normal(jax.random.key(0), (2, 16)),
        jnp.full((2, 16), log_std),
        1000,
    )
    largest = -0.5 * 16 * np.log(2 * np.pi) - 16 * log_std
    drawn = mixture.log_prob(mixture.sample(jax.random.key(1)))
    assert drawn.max() <= largest + 1e-3


def test_log_prob_makes_nothing_of_the_size_of_all_differences(mixture):
    components, dim, rows = 500, 40, 1000
    large = NormalMixture(
        jnp.zeros(components),
        jnp.zeros((components, dim)),
        jnp.zeros((components, dim)),
        rows,
    )
    compiled = jax.jit(NormalMixture.log_prob).lower(large, jnp.zeros((rows, dim)))
    temporary = compiled.compile().memory_analysis().temp_size_in_bytes
    assert temporary < 4 * 4 * rows * components < 4 * rows * components * dim


def test_samples_follow_the_mixture(mixture):
    draws = np.asarray(mixture.replace(batch_size=100_000).sample(jax.random.key(3)))
    weights = np.exp(np.float64(mixture.log_weights))
    mean = np.float64(mixture.component_mean)
    variance = np.exp(2 * np.float64(mixture.component_log_std))
    second = weights @ (variance + mean**2)
    np.testing.assert_allclose(draws.mean(axis=0), weights @ mean, atol=0.05)
    np.testing.assert_allclose((draws**2).mean(axis=0), second, rtol=0.03)
    np.testing.assert_allclose(mixture.mean[0], weights @ mean, rtol=1e-5)
    assert mixture.mean.shape == (B, D)
    still = mixture.sample(jax.random.key(4), temperature=0.0)
    gaps = np.abs(np.asarray(still)[:, None] - np.asarray(mixture.component_mean))
    assert np.all(gaps.max(axis=2).min(axis=1) == 0)


def test_mixture_prior_learns_every_parameter():
    prior = MixturePrior(D, C)
    params = prior.init(jax.random.key(0), B)
    z = jax.random.normal(jax.random.key(1), (B, D))
    gradient = jax.grad(lambda p: prior.apply(p, B).log_prob(z).sum())(params)
    assert all(np.all(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(gradient))


def vamp_vae(posterior):
    encoder = nn.Sequential([GatedMLPEncoder((7, 6)), posterior])
    return VAE(
        encoder=encoder,
        prior=VampPrior(encoder, (4, 4, 1), num_components=5),
        decoder=nn.Sequential(
            [GatedMLPDecoder((4, 4, 1), (6, 7)), BernoulliLikelihood()]
        ),
    )


def test_vamp_prior_is_the_mean_of_posteriors_of_its_pseudo_inputs():
    model = vamp_vae(DiagonalNormalPosterior(D))
    x = jnp.round(jax.random.uniform(jax.random.key(0), (B, 4, 4, 1)))
    functions = model_functions(model)
    params = functions.init(jax.random.key(1), x)
    assert set(params) == {"encoder", "prior", "decoder"}
    assert set(params["prior"]) == {"pseudo_inputs"}  # the encoder exists once
    output = functions.apply(params, x, jax.random.key(2))
    (latent,) = output.latents
    pseudo = params["prior"]["pseudo_inputs"]
    q = first_posterior(Trained(model, params), jnp.clip(pseudo, 0, 1))
    per_component = jnp.stack(
        [
            jax.tree.map(lambda f, c=c: jnp.broadcast_to(f[c], (B, D)), q).log_prob(
                latent.z
            )
            for c in range(5)
        ]
    )
    expected = jax.nn.logsumexp(per_component, axis=0) - np.log(5)
    np.testing.assert_allclose(latent.prior.log_prob(latent.z), expected, rtol=1e-4)
    assert not latent.has_closed_form_kl
    (draws,) = Trained(model, params).prior(9).sample(jax.random.key(3))
    assert draws.shape == (9, D)


def test_prior_trains_the_encoder_and_the_pseudo_inputs():
    model = vamp_vae(DiagonalNormalPosterior(D))
    x = jnp.round(jax.random.uniform(jax.random.key(0), (B, 4, 4, 1)))
    functions = model_functions(model)
    params = functions.init(jax.random.key(1), x)

    def log_prior(params):
        (latent,) = functions.apply(params, x, jax.random.key(2)).latents
        return latent.prior.log_prob(jax.lax.stop_gradient(latent.z)).sum()

    gradient = jax.grad(log_prior)(params)
    assert np.all(np.asarray(gradient["prior"]["pseudo_inputs"]) != 0)
    for leaf in jax.tree.leaves(gradient["encoder"]):
        assert np.any(np.asarray(leaf) != 0)
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(gradient["decoder"]))


def test_vamp_prior_needs_a_normal_posterior():
    model = vamp_vae(DeterministicPosterior(D))
    with pytest.raises(TypeError, match="not Deterministic"):
        model_functions(model).init(jax.random.key(0), jnp.zeros((2, 4, 4, 1)))


def test_uniform_prior_has_the_codes_of_the_encoder_and_their_places():
    encoder = Chain([ResidualEncoder((4,), (0,), spatial=True), FSQPosterior((3, 2))])
    prior = UniformPrior(encoder, (4, 6, 1))
    p, _ = prior.init_with_output(jax.random.key(0), 5)
    np.testing.assert_array_equal(p.codebook, grid((3, 2)))
    assert (p.batch_size, p.sites) == (5, (2, 3))
    other = UniformPrior(nn.Sequential([DiagonalNormalPosterior(2)]), (3,))
    with pytest.raises(TypeError, match="discrete codes, Quantized, not DiagonalN"):
        other.init(jax.random.key(0), 5)


def test_gate_multiplies():
    layer = GatedDense(4)
    h = jax.random.normal(jax.random.key(0), (2, 3))
    params = layer.init(jax.random.key(1), h)["params"]
    value = h @ params["value"]["kernel"]
    gate = h @ params["gate"]["kernel"]
    np.testing.assert_allclose(
        layer.apply({"params": params}, h), value / (1 + np.exp(-gate)), rtol=1e-5
    )
