"""The ELBO and its relatives against a model whose likelihood is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.distributions import Bernoulli, Deterministic, DiagonalNormal
from vae_jax.distributions.mixtures import NormalMixture
from vae_jax.objectives.elbo import capacity_loss, elbo_loss, kl_per_dimension
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.training.state import make_hparams

K, B, D = 3, 5, 2


def normal(mean, std, shape=(K, B, D)):
    return DiagonalNormal(
        mean=jnp.broadcast_to(jnp.asarray(mean, jnp.float32), shape),
        log_std=jnp.log(jnp.broadcast_to(jnp.asarray(std, jnp.float32), shape)),
    )


@pytest.fixture
def output():
    rng = np.random.default_rng(0)
    posterior = normal(rng.normal(size=(B, D)), rng.uniform(0.2, 2, size=(B, D)))
    logits = jnp.asarray(rng.normal(size=(K, B, 4, 1, 1)), jnp.float32)
    z = jnp.asarray(rng.normal(size=(K, B, D)), jnp.float32)
    latent = Latent(z=z, posterior=posterior, prior=normal(0.0, 1.0))
    return VAEOutput(likelihood=Bernoulli(logits), latents=(latent,))


X = jnp.asarray(np.random.default_rng(1).integers(0, 2, (B, 4, 1, 1)), jnp.float32)


def by_hand(output):
    """KL [B, D] and -log p(x|z) averaged over samples [B], in float64."""
    q = output.latents[0].posterior
    mean, std = np.float64(q.mean[0]), np.float64(q.std[0])
    kl = 0.5 * (mean**2 + std**2 - 1) - np.log(std)
    logits = np.float64(output.likelihood.logits)
    log_lik = np.float64(X) * logits - np.logaddexp(0, logits)
    return kl, -log_lik.sum(axis=(2, 3, 4)).mean(axis=0)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 4.0])
def test_loss_is_distortion_plus_weight_times_rate(output, weight):
    kl, distortion = by_hand(output)
    loss, metrics = elbo_loss(output, X, make_hparams(kl_weight=weight))
    rate = kl.sum(axis=1).mean()
    np.testing.assert_allclose(loss, distortion.mean() + weight * rate, rtol=1e-5)
    np.testing.assert_allclose(metrics["rate"], rate, rtol=1e-5)
    np.testing.assert_allclose(metrics["distortion"], distortion.mean(), rtol=1e-5)
    # At weight 1 whatever the training uses.
    np.testing.assert_allclose(metrics["elbo"], -distortion.mean() - rate, rtol=1e-5)
    np.testing.assert_allclose(kl_per_dimension(output)[0], kl, rtol=1e-4, atol=1e-6)


def test_free_nats_are_a_floor_per_dimension(output):
    kl, distortion = by_hand(output)
    means = kl.mean(axis=0)
    floor = means.mean()  # above one dimension and below the other
    hparams = make_hparams(kl_weight=2.0, free_nats=floor)
    loss, _ = elbo_loss(output, X, hparams)
    expected = distortion.mean() + 2 * np.maximum(means, floor).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert (means < floor).sum() == 1


def test_free_nats_per_layer_are_a_floor_under_its_sum(output):
    kl, distortion = by_hand(output)
    (latent,) = output.latents
    still = latent.replace(posterior=normal(0.0, 1.1))  # near its prior
    layers = np.array([kl.mean(axis=0).sum(), D * (0.105 - np.log(1.1))])
    floor = layers.mean()  # above one layer and below the other
    assert (layers < floor).tolist() == [False, True]
    whole = VAEOutput(output.likelihood, (latent, still))
    hparams = make_hparams(kl_weight=2.0, free_nats_per_layer=floor)
    loss, metrics = elbo_loss(whole, X, hparams)
    expected = distortion.mean() + 2 * np.maximum(layers, floor).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["rate"], layers.sum(), rtol=1e-4)
    none, _ = elbo_loss(whole, X, make_hparams(kl_weight=2.0, free_nats_per_layer=0))
    np.testing.assert_allclose(none, distortion.mean() + 2 * layers.sum(), rtol=1e-5)


def test_free_nats_of_a_kl_without_parts_are_those_of_all_dimensions(output):
    """The same prior as a normal and as a mixture of one component."""
    (latent,) = output.latents
    latent = latent.replace(posterior=normal(0.0, 1.0))
    mixture = NormalMixture(
        log_weights=jnp.zeros((K, 1)),
        component_mean=jnp.zeros((K, 1, D)),
        component_log_std=jnp.zeros((K, 1, D)),
        batch_size=B,
    )
    hparams = make_hparams(kl_weight=1.0, free_nats=0.5)
    for prior in (normal(0.0, 1.0), mixture):
        whole = VAEOutput(output.likelihood, (latent.replace(prior=prior),))
        loss, metrics = elbo_loss(whole, X, hparams)
        penalty = loss - metrics["distortion"]
        np.testing.assert_allclose(penalty, 0.5 * D, rtol=1e-5)


def test_below_the_floor_the_rate_has_no_gradient(output):
    def rate_part(posterior, free_nats):
        latent = output.latents[0].replace(posterior=posterior)
        whole = VAEOutput(output.likelihood, (latent,))
        return elbo_loss(whole, X, make_hparams(kl_weight=1.0, free_nats=free_nats))[0]

    slopes = [
        jax.grad(rate_part)(output.latents[0].posterior, nats) for nats in (0.0, 99.0)
    ]
    for free, floored in zip(*map(jax.tree.leaves, slopes), strict=True):
        assert (free != 0).all() and (floored == 0).all()


def test_without_free_nats_a_negative_estimate_of_the_kl_counts(output):
    """A floor at zero would make the estimate biased."""
    posterior = normal(0.0, 1.0)
    far = jnp.full((K, B, D), 3.0)  # where the mixture is denser than the posterior
    mixture = NormalMixture(
        log_weights=jnp.zeros((K, 1)),
        component_mean=jnp.full((K, 1, D), 3.0),
        component_log_std=jnp.zeros((K, 1, D)),
        batch_size=B,
    )
    estimated = VAEOutput(output.likelihood, (Latent(far, posterior, mixture),))
    loss, metrics = elbo_loss(estimated, X, make_hparams(kl_weight=2.0))
    np.testing.assert_allclose(metrics["rate"], -D * 3.0**2 / 2, rtol=1e-4)
    np.testing.assert_allclose(loss, metrics["distortion"] + 2 * metrics["rate"])


@pytest.mark.parametrize("nats", [0.0, 100.0])
def test_capacity_is_the_distance_of_the_rate(output, nats):
    kl, distortion = by_hand(output)
    loss, _ = capacity_loss(output, X, make_hparams(kl_weight=10.0, capacity=nats))
    gap = abs(kl.sum(axis=1).mean() - nats)
    np.testing.assert_allclose(loss, distortion.mean() + 10 * gap, rtol=1e-5)


def test_weight_zero_is_an_autoencoder(output):
    """The same loss as with a point mass in place of the posterior."""
    latent = output.latents[0]
    point = Latent(latent.z, Deterministic(latent.z), latent.prior)
    plain = VAEOutput(output.likelihood, (point,))
    loss, metrics = elbo_loss(plain, X, make_hparams(kl_weight=7.0))
    assert loss == elbo_loss(output, X, make_hparams(kl_weight=0.0))[0]
    assert "elbo" not in metrics and "rate" not in metrics


def test_posterior_equal_to_the_prior_costs_nothing(output):
    latent = Latent(output.latents[0].z, normal(0.0, 1.0), normal(0.0, 1.0))
    _, metrics = elbo_loss(
        VAEOutput(output.likelihood, (latent,)), X, make_hparams(kl_weight=1.0)
    )
    assert metrics["rate"] == 0


def test_mean_over_the_batch_does_not_depend_on_its_size(output):
    def twice(leaf):
        return jnp.concatenate([leaf, leaf], axis=1)

    hparams = make_hparams(kl_weight=2.0)
    double, _ = elbo_loss(jax.tree.map(twice, output), jnp.concatenate([X, X]), hparams)
    np.testing.assert_allclose(double, elbo_loss(output, X, hparams)[0], rtol=1e-6)
