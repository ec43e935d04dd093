"""Likelihoods: what the numbers in a decoder's features mean."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from tests.battery import DEFAULT, FAST_COMPILE, MODELS, H, W, config_of
from vae_jax import build
from vae_jax import likelihoods as lik
from vae_jax.data.spec import ANY_DATA
from vae_jax.errors import ConfigError, ContractError
from vae_jax.types import Array

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
B = 3
LEVELS = np.arange(256) / 255
LIKELIHOODS = {
    name: build.make_parts(config_of(name), ANY_DATA)["likelihood"]
    for name, fields in MODELS.items()
    if name == DEFAULT or "model.likelihood" in fields
}
SEPARATE = [name for name in LIKELIHOODS if name != "normal-optimal"]


def features_of(count: int, shape: tuple[int, ...] = (B, H, W)) -> Array:
    values = np.random.default_rng(0).normal(size=(*shape, count))
    return jnp.asarray(np.float32(values), jnp.float32)


def apply(likelihood, features):
    """The distribution at the initial parameters."""
    params = likelihood.init(jax.random.key(0), features)
    return likelihood.apply(params, features)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_any_number_of_channels(name, channels):
    likelihood = LIKELIHOODS[name]

    @jit
    def measure(features):
        p = apply(likelihood, features)
        x = p.mean if name == "normal-optimal" else p.sample(jax.random.key(1))
        return p.mean, x, p.log_prob(jnp.round(jnp.clip(x, 0, 1)))

    mean, x, log_prob = measure(features_of(likelihood.num_features(channels)))
    assert mean.shape == x.shape == (B, H, W, channels)
    assert log_prob.shape == (B,) and np.isfinite(log_prob).all()
    outside = (np.asarray(x) < 0) | (np.asarray(x) > 1)
    assert outside.any() == name.startswith(("normal", "laplace"))


@pytest.mark.parametrize("name", SEPARATE)  # the other has one scale per image
def test_pixels_are_summed_whatever_their_number(name):
    """The log-likelihoods of two halves add up to that of the whole image."""
    likelihood = LIKELIHOODS[name]
    features = features_of(likelihood.num_features(1), (B, 4, 3))
    x = jnp.round(jax.random.uniform(jax.random.key(0), (B, 4, 3, 1)))

    @jit
    def log_prob(features, x):
        return apply(likelihood, features).log_prob(x)

    top = log_prob(features[:, :2], x[:, :2])
    bottom = log_prob(features[:, 2:], x[:, 2:])
    np.testing.assert_allclose(log_prob(features, x), top + bottom, rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "reference"),
    [
        (lik.NormalLikelihood, scipy.stats.norm),
        (lik.LaplaceLikelihood, scipy.stats.laplace),
    ],
)
@pytest.mark.parametrize("scale", ["fixed", "learned", "per_pixel"])
def test_location_and_scale_against_scipy(family, reference, scale):
    likelihood = family(scale, 0.3)
    features = features_of(likelihood.num_features(2))
    x = np.random.default_rng(1).normal(size=(B, H, W, 2))
    loc, size = np.float64(features[..., :2]), 0.3
    if scale == "per_pixel":  # the first half is the location
        size = np.exp(10 * np.tanh(np.float64(features[..., 2:]) / 10))
    expected = reference.logpdf(x, loc, size).sum(axis=(1, 2, 3))
    value = apply(likelihood, features).log_prob(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(value, expected, rtol=2e-5)


def test_learned_scale_settles_at_the_rms_error():
    """There the gradient is zero: the maximum of the likelihood, in closed form."""
    likelihood = lik.NormalLikelihood("learned")
    features, x = features_of(1), features_of(1)[::-1]
    rms = float(np.sqrt(np.mean((np.float64(x) - np.float64(features)) ** 2)))

    def gradient(scale):
        start = lik.NormalLikelihood("learned", scale).init(jax.random.key(0), features)
        assert jax.tree.leaves(start)[0].shape == ()

        def log_prob(params):
            return likelihood.apply(params, features).log_prob(x).sum()

        return float(jax.tree.leaves(jax.grad(log_prob)(start))[0])

    assert gradient(0.5 * rms) > 1
    assert abs(gradient(rms)) < 1e-3
    assert gradient(2 * rms) < -1


@pytest.mark.parametrize("size", [100.0, 1e4])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_finite_with_gradient_at_huge_features(name, size):
    likelihood = LIKELIHOODS[name]
    features = size * jnp.sign(features_of(likelihood.num_features(2)))
    x = jnp.round(jax.random.uniform(jax.random.key(0), (B, H, W, 2)))

    @jit
    @jax.value_and_grad
    def total(features):
        return apply(likelihood, features).log_prob(x).sum()

    value, gradient = total(features)
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()


def logistic_masses(loc: float, log_scale: float) -> np.ndarray:
    """P(level) of a logistic cut into 256 bins, the outer ones without an end."""
    edges = (np.arange(257) - 0.5) / 255
    edges[0], edges[-1] = -np.inf, np.inf
    return np.diff(scipy.special.expit((edges - loc) / np.exp(log_scale)))


@functools.partial(jit, static_argnums=0)
def log_masses(likelihood, features: Array) -> Array:
    """log P of each of the 256 levels of one pixel with features [F]."""
    x = jnp.asarray(LEVELS, jnp.float32).reshape(256, 1, 1, 1)
    rows = jnp.broadcast_to(features, (256, 1, 1, *features.shape))
    return likelihood.apply({}, rows).log_prob(x)


@pytest.mark.parametrize("loc", [-2.0, 0.0, 0.4, 50.0])
@pytest.mark.parametrize("log_scale", [-30.0, -3.0, 1.0, 30.0])
def test_logistic_is_scipys_and_sums_to_one(loc, log_scale):
    features = jnp.float32([loc, log_scale])
    masses = np.exp(np.float64(log_masses(lik.LogisticLikelihood(), features)))
    assert masses.sum() == pytest.approx(1, abs=1e-4)
    bounded = np.clip(log_scale - 2, -7 - np.log(2), 10)
    expected = logistic_masses(loc + 0.5, bounded)
    np.testing.assert_allclose(masses, expected, rtol=1e-3, atol=1e-6)


def test_mixture_of_one_channel_is_scipys_and_sums_to_one():
    likelihood = lik.LogisticMixtureLikelihood(3)
    features = features_of(likelihood.num_features(1), ())
    logits, loc, log_scale = np.float64(features).reshape(3, 3)
    expected = sum(
        weight * logistic_masses(a + 0.5, s - 2)
        for weight, a, s in zip(
            scipy.special.softmax(logits), loc, log_scale, strict=True
        )
    )
    masses = np.exp(np.float64(log_masses(likelihood, features)))
    assert masses.sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(masses, expected, rtol=1e-3, atol=1e-7)


def test_features_that_fit_no_number_of_channels_are_one_line():
    features = jnp.zeros((2, 4, 4, 31))
    with pytest.raises(ContractError, match="31.* 30 for one and 100 for three"):
        lik.LogisticMixtureLikelihood().apply({}, features)


@pytest.mark.parametrize("value", [3e-5, 3e4])
def test_a_learned_scale_begins_within_its_bounds(value):
    lik.NormalLikelihood("fixed", value)
    with pytest.raises(
        ConfigError, match=f"scale_value={value}: must be between e\\^-10"
    ):
        lik.NormalLikelihood("learned", value)


def test_mixture_of_colours_by_hand():
    """Features in the order of PixelCNN++: weights, locations, scales, coefficients."""
    n = 2
    likelihood = lik.LogisticMixtureLikelihood(n)
    features = features_of(likelihood.num_features(3), (1, 1, 1))
    numbers = np.float64(features).reshape(10, n)
    logits, loc, log_scale = numbers[0], numbers[1:4] + 0.5, numbers[4:7] - 2
    green_red, blue_red, blue_green = np.tanh(numbers[7:])
    levels = np.array([40, 200, 90])
    red, green, _ = levels / 255
    means = [
        loc[0],
        loc[1] + green_red * red,
        loc[2] + blue_red * red + blue_green * green,
    ]
    per_component = scipy.special.softmax(logits)
    for c in range(3):
        masses = [logistic_masses(means[c][k], log_scale[c, k]) for k in range(n)]
        per_component = per_component * [mass[levels[c]] for mass in masses]
    x = jnp.asarray(levels / 255, jnp.float32).reshape(1, 1, 1, 3)
    value = jit(lambda f: likelihood.apply({}, f).log_prob(x))(features)
    np.testing.assert_allclose(value, np.log(per_component.sum()), rtol=1e-4)


@pytest.mark.parametrize("components", [1, 2, 10])
def test_mixture_knows_its_channels_from_the_features(components):
    likelihood = lik.LogisticMixtureLikelihood(components)
    for channels in range(1, 6):
        count = likelihood.num_features(channels)
        p = jax.eval_shape(likelihood.apply, {}, jnp.zeros((B, H, W, count)))
        assert p.loc.shape == (B, H, W, channels, components)


def test_grey_values_have_a_true_density():
    """The integral over [0, 1] is one; that of the bare cross-entropy isn't."""
    x = np.linspace(0, 1, 2001)
    for logit in (-8.0, -0.1, 0.0, 2.0):
        features = jnp.full((len(x), 1, 1, 1), logit)
        grey = jnp.asarray(x, jnp.float32).reshape(-1, 1, 1, 1)

        def integral(likelihood, features=features, grey=grey):
            log_prob = likelihood.apply({}, features).log_prob(grey)
            return scipy.integrate.simpson(np.exp(np.float64(log_prob)), x=x)

        one = integral(lik.ContinuousBernoulliLikelihood())
        assert one == pytest.approx(1, abs=1e-5)
        assert integral(lik.BernoulliLikelihood()) < 0.6
