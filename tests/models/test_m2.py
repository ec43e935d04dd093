"""M2 against densities that are known, and against itself."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import vae_jax
from tests.battery import FAST_COMPILE
from vae_jax.distributions import DiagonalNormal
from vae_jax.errors import ConfigError
from vae_jax.evaluation import ais
from vae_jax.evaluation.annealing import Annealing
from vae_jax.evaluation.likelihood import importance_statistics
from vae_jax.models.m2 import M2, m2
from vae_jax.objectives.semi_supervised import semi_supervised_loss
from vae_jax.priors import StandardNormal
from vae_jax.trained import Trained
from vae_jax.training.functions import model_functions

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
B, P, D, C = 4, 5, 2, 3  # rows, pixels, code, classes
NUMBERS = np.random.default_rng(0)
STD = 0.6
WEIGHTS = np.linalg.qr(NUMBERS.normal(size=(P, D)))[0] * [1.5, 0.7]  # orthogonal
CENTRES = NUMBERS.normal(size=(C, P))
IMAGES = NUMBERS.normal(size=(B, P)).astype(np.float32)
LABELS = np.array([2, 0, -1, -1], np.int32)
X = {"image": IMAGES, "label": LABELS}
HPARAMS = vae_jax.make_hparams(kl_weight=1.0, classification_weight=0.0)
KEY = jax.random.key(0)


def log_density():
    """log p(x, y) of p(x | y) = N(centre_y, W W^T + s^2 I), [B, C]."""
    covariance = WEIGHTS @ WEIGHTS.T + STD**2 * np.eye(P)
    densities = [
        scipy.stats.multivariate_normal(centre, covariance).logpdf(IMAGES)
        for centre in CENTRES
    ]
    return np.stack(densities, axis=1) - np.log(C)


class Posterior(nn.Module):
    """The exact q(z | x, y), or one with another scale."""

    log_scale: float = 0.0

    def __call__(self, joined):
        x, y = joined[:, :P], joined[:, P:]
        precision = STD**2 + (WEIGHTS**2).sum(axis=0)
        mean = (x - y @ CENTRES) @ (WEIGHTS / precision)
        log_std = jnp.broadcast_to(0.5 * np.log(STD**2 / precision), mean.shape)
        return DiagonalNormal(mean, log_std + self.log_scale)


class Decoder(nn.Module):
    """p(x | z, y) = N(W z + centre_y, s^2 I)."""

    def __call__(self, joined):
        mean = joined[:, :D] @ WEIGHTS.T + joined[:, D:] @ CENTRES
        return DiagonalNormal(mean, jnp.full(mean.shape, np.log(STD)))


class Known(nn.Module):
    """Logits of each of the four images, by the nearest."""

    logits: tuple

    def __call__(self, images):
        distance = ((images[:, None] - IMAGES[None]) ** 2).sum(axis=2)
        return jnp.asarray(self.logits)[distance.argmin(axis=1)]


class Same(nn.Module):
    def __call__(self, images):
        return images


def model(logits, log_scale=0.0, num_labelled_rows=0):
    logits = tuple(map(tuple, np.asarray(logits, np.float32)))
    return M2(
        classifier=Known(logits),
        features=Same(),
        encoder=Posterior(log_scale),
        prior=StandardNormal(D),
        decoder=Decoder(),
        num_classes=C,
        num_labelled_rows=num_labelled_rows,
    )


def draws(own, count, train=False):
    return jit(
        jax.vmap(lambda key: own.apply({}, X, key, train)),
    )(jax.random.split(KEY, count))


def test_with_the_exact_posterior_every_draw_has_the_weight_of_the_image():
    """log p(x, z, y) - log q(z, y | x) = log p(x), whatever the label says."""
    output = draws(model(log_density()), 20)
    log_w = jax.vmap(lambda out: out.log_w(X))(output)
    exact = scipy.special.logsumexp(log_density(), axis=1)
    np.testing.assert_allclose(log_w, np.tile(exact, (20, 1)), rtol=1e-5)
    classes = output.latents[1].z
    assert set(np.unique(classes)) == {0, 1} and (classes.sum(axis=2) == 1).all()
    assert len(np.unique(classes.argmax(axis=2))) > 1


def test_terms_of_the_classes_average_to_the_exact_log_density():
    count = 4000
    extras = draws(model(log_density()), count).extras
    bounds = np.float64(extras["class_log_lik"] - extras["class_rate"]) - np.log(C)
    error = bounds.std(axis=0) / np.sqrt(count)
    assert (np.abs(bounds.mean(axis=0) - log_density()) < 4 * error).all()
    posterior = scipy.special.log_softmax(log_density(), axis=1)
    np.testing.assert_allclose(extras["class_log_prob"][0], posterior, atol=1e-5)


@pytest.mark.parametrize("log_scale", [0.0, 0.7])
def test_the_loss_is_the_exact_log_density_or_a_bound_of_it(log_scale):
    """Equality with the exact posteriors, in expectation; else it lies below."""
    logits = log_density() + (log_scale > 0) * NUMBERS.normal(size=(B, C))
    output = draws(model(logits, log_scale), 4000)
    loss, metrics = semi_supervised_loss(output, X, HPARAMS)
    joint, total = log_density(), scipy.special.logsumexp(log_density(), axis=1)
    exact = np.where(LABELS >= 0, joint[np.arange(B), LABELS], total)
    assert loss == pytest.approx(-(metrics["elbo"] + metrics["labelled_elbo"]) / 2)
    if log_scale:
        assert -loss < exact.mean() - 0.05
        assert metrics["elbo"] < exact[2:].mean() - 0.05
    else:
        assert -loss == pytest.approx(exact.mean(), abs=0.03)
        assert metrics["elbo"] == pytest.approx(exact[2:].mean(), abs=0.03)


def test_the_nll_is_that_of_the_image():
    own = model(log_density() + NUMBERS.normal(size=(B, C)), 0.3)
    found = importance_statistics(
        model_functions(own).apply, {}, X, KEY, num_samples=4000, sample_chunk=500
    )
    exact = scipy.special.logsumexp(log_density(), axis=1)
    np.testing.assert_allclose(found["log_px"], exact, atol=0.05)
    assert (-(found["rate"] + found["distortion"]) < exact).all()


def test_rows_known_to_be_labelled_are_decoded_for_their_class_only():
    """The same noise, so the same numbers, and in evaluation all classes."""
    logits = log_density()
    whole, short = (draws(model(logits, 0.2, n), 3, True).extras for n in (0, 2))
    evaluated = draws(model(logits, 0.2, 2), 3).extras
    for name in ("class_log_lik", "class_rate"):
        np.testing.assert_allclose(evaluated[name], whole[name], rtol=1e-5)
        np.testing.assert_allclose(short[name][:, 2:], whole[name][:, 2:], rtol=1e-5)
        own = np.asarray(whole[name])[:, [0, 1], LABELS[:2]]
        for number in range(C):
            np.testing.assert_allclose(short[name][:, :2, number], own, rtol=1e-5)


def test_codes_of_the_prior_are_decoded_and_classes_are_even():
    own = model(log_density())
    prior = own.apply({}, 3000, method="joint_prior")
    z, y = prior.sample(KEY)
    share = y.mean(axis=0)
    np.testing.assert_allclose(share, 1 / C, atol=0.04)
    normal = scipy.stats.norm.logpdf(z).sum(axis=1) - np.log(C)
    np.testing.assert_allclose(prior.log_prob((z, y)), normal, rtol=1e-4)
    likelihood = own.apply({}, (z, y), method="decode")
    mean = z @ WEIGHTS.T + y @ CENTRES
    np.testing.assert_allclose(likelihood.mean["image"], mean, atol=1e-5)


def test_draws_and_decoded_codes_are_of_the_class_that_is_given():
    own, given = model(log_density()), jnp.array([2, 0, 1, 2])
    prior = own.apply({}, 4, given, method="joint_prior")
    z, y = prior.sample(KEY, 0.5)
    np.testing.assert_array_equal(y.argmax(axis=1), given)
    normal = scipy.stats.norm.logpdf(z).sum(axis=1)
    np.testing.assert_allclose(prior.log_prob((z, y)), normal, rtol=1e-4)
    other = prior.log_prob((z, jnp.roll(y, 1, axis=1)))
    np.testing.assert_array_equal(other, -jnp.inf)
    likelihood = own.apply({}, (z, jnp.zeros_like(y)), given, method="decode")
    mean = z @ WEIGHTS.T + CENTRES[given]
    np.testing.assert_allclose(likelihood.mean["image"], mean, atol=1e-5)


def test_data_without_classes_are_refused_in_one_line():
    with pytest.raises(ConfigError, match="name=m2 needs images with labels"):
        m2(
            features=Same(),
            posterior=Posterior(),
            decoder=Decoder(),
            prior=StandardNormal(D),
            make_mlp=None,
            num_classes=None,
            labelled_batch_size=0,
        )


def test_chains_of_annealing_cannot_move_a_class():
    trained = Trained(model(np.zeros((B, C))), {})
    for call in (
        lambda: ais.annealed_likelihood(trained, X, KEY, Annealing(1)),
        lambda: ais.bounds_on_simulated(trained, 2, KEY, Annealing(1)),
    ):
        with pytest.raises(ConfigError, match="not discrete ones"):
            call()
