"""Priors: a mixture against scipy, and pseudo-inputs that share the encoder."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests.battery import FAST_COMPILE
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

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
C, D, B = 6, 3, 50
IMAGES = np.random.default_rng(0).integers(0, 2, (B, 4, 4, 1)).astype(np.float32)

log_prob = jit(NormalMixture.log_prob)
sample = jit(NormalMixture.sample)


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def mixture():
    numbers = np.random.default_rng(0)
    log_std = numbers.uniform(-3.0, 0.5, (C, D))
    return NormalMixture(
        log_weights=jnp.float32(scipy.special.log_softmax(numbers.normal(size=C))),
        component_mean=jnp.float32(2 * numbers.normal(size=(C, D))),
        component_log_std=jnp.float32(log_std),
        batch_size=B,
    )


def scipy_log_prob(mixture, x):
    mean, log_std = map(np.float64, (mixture.component_mean, mixture.component_log_std))
    per_dim = scipy.stats.norm(mean, np.exp(log_std)).logpdf(np.float64(x)[:, None, :])
    log_weights = np.float64(mixture.log_weights)
    return scipy.special.logsumexp(per_dim.sum(axis=2) + log_weights, axis=1)


def test_log_prob_is_that_of_scipy(mixture):
    near = sample(mixture, jax.random.key(1))
    far = 5 * normal(2, (B, D))
    for x in (near, far):
        np.testing.assert_allclose(
            log_prob(mixture, x), scipy_log_prob(mixture, x), rtol=1e-4, atol=2e-3
        )


def test_multiplied_out_square_keeps_its_digits_at_full_size():
    """500 narrow components in 40 dimensions: the error is below 0.01 nats."""
    narrowest = np.full((500, 40), -3.0)  # of the VampPrior
    mixture = NormalMixture(
        log_weights=jnp.float32(np.full(500, -np.log(500.0))),
        component_mean=jnp.asarray(normal(0, (500, 40))),
        component_log_std=jnp.float32(narrowest),
        batch_size=100,
    )
    x = sample(mixture, jax.random.key(1))
    error = np.asarray(log_prob(mixture, x)) - scipy_log_prob(mixture, x)
    assert np.abs(error).max() < 0.01


@pytest.mark.parametrize("log_std", [-8.0, -9.9])
def test_no_density_exceeds_that_at_the_mean_however_narrow(log_std):
    """Rounding would else be worth tens of nats to a prior that is learned."""
    mixture = NormalMixture(
        jnp.float32(np.log([0.5, 0.5])),
        jnp.asarray(normal(0, (2, 16))),
        jnp.float32(np.full((2, 16), log_std)),
        1000,
    )
    largest = -0.5 * 16 * np.log(2 * np.pi) - 16 * log_std
    drawn = log_prob(mixture, sample(mixture, jax.random.key(1)))
    assert drawn.max() <= largest + 1e-3


def test_log_prob_makes_nothing_of_the_size_of_all_differences(mixture):
    components, dim, rows = 500, 40, 1000
    weights, fields, x = (
        jax.ShapeDtypeStruct(shape, jnp.float32)
        for shape in ((components,), (components, dim), (rows, dim))
    )
    large = NormalMixture(weights, fields, fields, rows)
    compiled = jax.jit(NormalMixture.log_prob).lower(large, x)
    temporary = compiled.compile().memory_analysis().temp_size_in_bytes
    assert temporary < 4 * 4 * rows * components < 4 * rows * components * dim


def test_samples_follow_the_mixture(mixture):
    many = mixture.replace(batch_size=100_000)
    draws = np.asarray(sample(many, jax.random.key(3)))
    weights = np.exp(np.float64(mixture.log_weights))
    mean = np.float64(mixture.component_mean)
    variance = np.exp(2 * np.float64(mixture.component_log_std))
    second = weights @ (variance + mean**2)
    np.testing.assert_allclose(draws.mean(axis=0), weights @ mean, atol=0.05)
    np.testing.assert_allclose((draws**2).mean(axis=0), second, rtol=0.03)
    found = np.asarray(jit(lambda: mixture.mean)())
    np.testing.assert_allclose(found[0], weights @ mean, rtol=1e-5)
    assert found.shape == (B, D)
    still = sample(mixture, jax.random.key(4), temperature=0.0)
    gaps = np.abs(np.asarray(still)[:, None] - np.asarray(mixture.component_mean))
    assert np.all(gaps.max(axis=2).min(axis=1) == 0)


def test_mixture_prior_learns_every_parameter():
    prior = MixturePrior(D, C)
    params = jit(prior.init, static_argnums=1)(jax.random.key(0), B)
    z = normal(1, (B, D))
    gradient = jit(jax.grad(lambda p: prior.apply(p, B).log_prob(z).sum()))(params)
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
    functions = model_functions(model)
    params = jit(functions.init)(jax.random.key(1), IMAGES)
    assert set(params) == {"encoder", "prior", "decoder"}
    assert set(params["prior"]) == {"pseudo_inputs"}  # the encoder exists once

    @jit
    def of_the_prior_and_of_the_posteriors(params):
        (latent,) = functions.apply(params, IMAGES, jax.random.key(2)).latents
        assert not latent.has_closed_form_kl
        pseudo = params["prior"]["pseudo_inputs"]
        q = first_posterior(Trained(model, params), jnp.clip(pseudo, 0, 1))
        each = [
            jax.tree.map(lambda f, c=c: jnp.broadcast_to(f[c], (B, D)), q)
            for c in range(5)
        ]
        of_each = jnp.stack([component.log_prob(latent.z) for component in each])
        return latent.prior.log_prob(latent.z), of_each

    found, of_each = of_the_prior_and_of_the_posteriors(params)
    expected = scipy.special.logsumexp(of_each, axis=0) - np.log(5)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    draw = jit(lambda key: Trained(model, params).prior(9).sample(key))
    (draws,) = draw(jax.random.key(3))
    assert draws.shape == (9, D)


def test_prior_trains_the_encoder_and_the_pseudo_inputs():
    model = vamp_vae(DiagonalNormalPosterior(D))
    functions = model_functions(model)
    params = jit(functions.init)(jax.random.key(1), IMAGES)

    def log_prior(params):
        (latent,) = functions.apply(params, IMAGES, jax.random.key(2)).latents
        return latent.prior.log_prob(jax.lax.stop_gradient(latent.z)).sum()

    gradient = jit(jax.grad(log_prior))(params)
    assert np.all(np.asarray(gradient["prior"]["pseudo_inputs"]) != 0)
    for leaf in jax.tree.leaves(gradient["encoder"]):
        assert np.any(np.asarray(leaf) != 0)
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(gradient["decoder"]))


def test_vamp_prior_needs_a_normal_posterior():
    model = vamp_vae(DeterministicPosterior(D))
    with pytest.raises(TypeError, match="not Deterministic"):
        jax.eval_shape(model_functions(model).init, jax.random.key(0), IMAGES)


def test_uniform_prior_has_the_codes_of_the_encoder_and_their_places():
    encoder = Chain([ResidualEncoder((4,), (0,), spatial=True), FSQPosterior((3, 2))])
    prior = UniformPrior(encoder, (4, 6, 1))
    p, _ = jit(prior.init_with_output, static_argnums=1)(jax.random.key(0), 5)
    np.testing.assert_array_equal(p.codebook, grid((3, 2)))
    assert (p.batch_size, p.sites) == (5, (2, 3))
    other = UniformPrior(nn.Sequential([DiagonalNormalPosterior(2)]), (3,))
    with pytest.raises(TypeError, match="discrete codes, Quantized, not DiagonalN"):
        jax.eval_shape(lambda key: other.init(key, 5), jax.random.key(0))


def test_gate_multiplies():
    layer = GatedDense(4)
    h = normal(0, (2, 3))
    found, variables = jit(layer.init_with_output)(jax.random.key(1), h)
    value, gate = (
        h @ variables["params"][name]["kernel"] for name in ("value", "gate")
    )
    np.testing.assert_allclose(found, value / (1 + np.exp(-gate)), rtol=1e-5)
