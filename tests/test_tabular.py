"""Distributions for tables against scipy, and what is missing against what is left."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats

import vae_jax
from tests.battery import FAST_COMPILE
from tests.test_distributions import assert_finite_with_gradient, assert_moments
from vae_jax import likelihoods as lik
from vae_jax.distributions import (
    Bernoulli,
    DiagonalNormal,
    Distribution,
    OptimalNormal,
)
from vae_jax.distributions.tabular import Categorical, Masked, NegativeBinomial, Product
from vae_jax.errors import ContractError

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
B, E, C = 5, 3, 4
KEY = jax.random.key(3)

log_prob = jit(lambda distribution, x: distribution.log_prob(x))
sample = jit(lambda distribution: distribution.sample(KEY))


def rng():
    return np.random.default_rng(0)


def f32(values):
    return jnp.asarray(np.float32(values), jnp.float32)


ZEROS, ONES = f32(np.zeros((B, E))), f32(np.ones((B, E)))


def test_categorical_is_scipys_log_softmax():
    logits = rng().normal(size=(B, E, C)) * 3
    x = rng().integers(C, size=(B, E))
    expected = scipy.special.log_softmax(logits, axis=-1)
    expected = np.take_along_axis(expected, x[..., None], -1)[..., 0].sum(axis=1)
    for dtype in (np.int32, np.float32):
        found = log_prob(Categorical(f32(logits)), jnp.asarray(x, dtype))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_class_that_does_not_exist_has_no_probability():
    p = Categorical(f32(np.zeros((3, 2))))
    found = log_prob(p, jnp.asarray([-1, 1, 2]))
    np.testing.assert_array_equal(found, np.float32([-np.inf, np.log(0.5), -np.inf]))


def test_categorical_samples_have_the_probabilities():
    logits = rng().normal(size=C)
    p = Categorical(f32(np.broadcast_to(logits, (20_000, C))))
    draws = sample(p)
    assert draws.shape == (20_000,) and draws.dtype == jnp.int32
    share = np.asarray(p.mean[0], np.float64)
    np.testing.assert_allclose(share, scipy.special.softmax(logits), rtol=1e-5)
    assert_moments(
        np.asarray(draws)[:, None] == np.arange(C), share, share * (1 - share)
    )


@pytest.mark.parametrize("log_r", [-10.0, -1.0, 0.0, 2.07, 2.09, 5.0, 10.0])
def test_negative_binomial_is_scipys(log_r):
    """On both sides of r = 8, where the formula changes."""
    x = np.asarray([0, 1, 2, 7, 30, 400, 5000])
    log_mean = np.asarray([-3.0, 0.0, 1.0, 2.0, 4.0, 6.0, 8.0])
    r = np.exp(np.float64(np.float32(log_r)))
    p = r / (r + np.exp(log_mean))
    expected = scipy.stats.nbinom.logpmf(x, r, p)
    found = log_prob(NegativeBinomial(f32(log_mean), f32([log_r] * 7)), f32(x))
    # What float32 leaves of log k!, which is 38,000 for k = 5,000.
    assert (np.abs(found - expected) < 1e-5 + 2e-6 * x).all()


def test_negative_binomial_of_counts_of_any_size():
    """Each term of the definition is up to 1e7 nats."""
    log_r = np.float32([-8.0, -2.0, 0.0, 0.7, 2.0, 3.9, 7.0, 14.0])
    k = np.float32([0, 1, 2, 8, 9, 100, 1e4, 1e5, 1e6])
    shares = [0.01, 0.9, 1.0, 1.1, 100.0]
    log_mean = np.float32([np.log(np.maximum(k, 1) * share) for share in shares])
    fields = np.broadcast_arrays(log_mean[:, None], log_r[:, None], k)
    *of_p, x = (f32(v.reshape(-1, 1)) for v in fields)
    found = log_prob(NegativeBinomial(*of_p), x)
    mean, r = (np.exp(np.float64(v)).ravel() for v in fields[:2])
    exact = scipy.stats.nbinom.logpmf(fields[2].ravel(), r, r / (r + mean))
    np.testing.assert_allclose(found, exact, rtol=4e-6, atol=4e-6)


def test_negative_binomial_with_a_large_concentration_is_poisson():
    x, mean = np.arange(20), 6.5
    p = NegativeBinomial(f32([np.log(mean)] * 20), f32([10.0] * 20))
    expected = scipy.stats.poisson.logpmf(x, mean)
    np.testing.assert_allclose(log_prob(p, f32(x)), expected, atol=5e-3)


def test_negative_binomial_samples_have_mean_and_variance():
    mean, r = np.asarray([0.3, 4.0, 50.0]), np.asarray([0.5, 2.0, 30.0])
    fields = (f32(np.broadcast_to(np.log(v), (20_000, 3))) for v in (mean, r))
    draws = np.asarray(sample(NegativeBinomial(*fields)))
    assert (draws == np.round(draws)).all() and (draws >= 0).all()
    assert_moments(draws, mean, mean + mean**2 / r)


def test_extreme_parameters_are_finite_with_a_gradient():
    def negative_binomial(log_mean, log_r):
        x = jnp.broadcast_to(f32([0.0, 1.0, 1e4]), log_mean.shape)
        return NegativeBinomial(log_mean, log_r).log_prob(x)

    log_mean, log_r = np.meshgrid([-30.0, 0.0, 30.0], [-10.0, 2.0794, 10.0])
    fields = (np.repeat(v.reshape(-1, 1), 3, axis=1) for v in (log_mean, log_r))
    assert_finite_with_gradient(negative_binomial, *fields)

    def categorical(logits):
        return Categorical(logits).log_prob(jnp.asarray([0]))

    assert_finite_with_gradient(categorical, f32([[-100.0, 100.0]]))


def parts():
    numbers = rng()
    return {
        "real": DiagonalNormal(f32(numbers.normal(size=(B, E))), ZEROS),
        "class": Categorical(f32(numbers.normal(size=(B, 2, C)))),
        "count": NegativeBinomial(f32(numbers.normal(size=(B, E))), ONES),
        "binary": Bernoulli(f32(numbers.normal(size=(B, 1)))),
    }


def test_product_is_the_sum_of_its_parts_and_ignores_other_names():
    p = Product(parts())
    x = sample(p)
    assert set(x) == set(p.parts) == set(jax.eval_shape(lambda: p.mean))

    @jit
    def each_and_all(x):
        each = [part.log_prob(x[name]) for name, part in p.parts.items()]
        return each, p.log_prob({**x, "label": "anything"})

    each, found = each_and_all(x)
    np.testing.assert_allclose(found, np.float64(each).sum(axis=0), rtol=1e-5)
    fewer = sample(Product({"real": p.parts["real"]}))
    np.testing.assert_array_equal(fewer["real"], x["real"])


@pytest.mark.parametrize("name", list(parts()))
def test_masked_is_the_distribution_of_the_columns_that_are_left(name):
    base = parts()[name]
    x = sample(base)
    observed = rng().random(x.shape) < 0.6

    @jit
    def with_all_with_some_and_of_what_is_left(x):
        everything = {"value": x, "observed": jnp.ones(x.shape, bool)}
        some = {"value": x, "observed": observed}
        left = []
        for i in range(B):
            of_row = jax.tree.map(lambda leaf, i=i: leaf[i : i + 1, observed[i]], base)
            left.append(of_row.log_prob(x[i : i + 1, observed[i]])[0])
        masked = Masked(base)
        whole = masked.log_prob(everything), base.log_prob(x)
        return whole, (masked.log_prob(some), jnp.stack(left))

    whole, some = with_all_with_some_and_of_what_is_left(x)
    np.testing.assert_allclose(*whole, rtol=1e-5)
    np.testing.assert_allclose(*some, rtol=1e-5, atol=1e-6)


def test_steps_of_a_sequence_are_masked_with_all_their_channels():
    mean = f32(rng().normal(size=(B, 4, 2, 3)))
    base = DiagonalNormal(mean, f32(np.zeros(mean.shape)))
    drawn = sample(Masked(base))
    x = drawn["value"]
    lengths = np.asarray([0, 1, 2, 3, 4])
    observed = np.arange(4)[None, :] < lengths[:, None]
    found = log_prob(Masked(base), {"value": x, "observed": observed})
    each = scipy.stats.norm.logpdf(x, mean).sum(axis=(2, 3))
    expected = [row[:n].sum() for row, n in zip(each, lengths, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert drawn["observed"].shape == (B, 4) and np.all(drawn["observed"])


def test_columns_that_share_a_scale_can_not_be_left_out():
    base = OptimalNormal(ZEROS)
    data = {"value": ONES, "observed": np.ones((B, E), bool)}
    with pytest.raises(ContractError, match="those of OptimalNormal share one scale"):
        Masked(base).log_prob(data)


@jit
def of_what_is_observed(base, value, observed):
    """The total, and its gradient with respect to the distribution's fields."""

    def total(base):
        return Masked(base).log_prob({"value": value, "observed": observed}).sum()

    return jax.value_and_grad(total)(base)


@pytest.mark.parametrize("junk", [np.nan, np.inf, -7.0])
@pytest.mark.parametrize("name", list(parts()))
def test_what_is_not_observed_changes_neither_value_nor_gradient(name, junk):
    base = parts()[name]
    x = np.asarray(sample(base), np.float32)
    observed = rng().random(x.shape) < 0.6
    clean = of_what_is_observed(base, x, observed)
    dirty = of_what_is_observed(base, np.where(observed, x, np.float32(junk)), observed)
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))


def test_all_keep_the_contract():
    for distribution in (*parts().values(), Product(parts()), Masked(parts()["real"])):
        assert isinstance(distribution, Distribution)


HEAD = lik.ProductLikelihood(
    {
        "real": (lik.MaskedLikelihood(lik.NormalLikelihood("per_pixel")), 2),
        "class": (lik.CategoricalLikelihood(C), 3),
        "count": (lik.NegativeBinomialLikelihood(), 4),
    }
)


def test_heads_cut_the_features_into_named_parts():
    assert HEAD.num_features() == 2 * 2 + 3 * C + 4
    features = f32(rng().normal(size=(B, HEAD.num_features())))
    params = jit(HEAD.init)(KEY, features)

    @jit
    def with_a_draw(params):
        p = HEAD.apply(params, features)
        x = p.sample(KEY)
        return p, x, p.log_prob(x)

    p, x, of_x = with_a_draw(params)
    features = np.asarray(features)
    np.testing.assert_array_equal(p.parts["real"].base.mean, features[:, :2])
    np.testing.assert_array_equal(
        p.parts["class"].logits, features[:, 4:16].reshape(B, 3, C)
    )
    np.testing.assert_array_equal(p.parts["count"].log_mean, features[:, 16:])
    (shape,) = (leaf.shape for leaf in jax.tree.leaves(params))
    assert shape == (4,)  # a concentration for each column of counts
    shapes = jax.tree.map(jnp.shape, x)
    assert shapes == {
        "real": {"value": (B, 2), "observed": (B, 2)},
        "class": (B, 3),
        "count": (B, 4),
    }
    assert of_x.shape == (B,)


def test_concentration_of_counts_is_learned():
    """Counts with r = 2 around a known mean: the estimate comes near 2."""
    mean, r = 6.0, 2.0
    x = f32(rng().negative_binomial(r, r / (r + mean), size=(4000, 1)))
    head = lik.NegativeBinomialLikelihood()
    features = f32(np.full((4000, 1), np.log(mean)))

    @jit
    def descend():
        params = head.init(KEY, features)
        loss = jax.grad(lambda p: -head.apply(p, features).log_prob(x).mean())
        params = jax.lax.fori_loop(
            0,
            300,
            lambda i, p: jax.tree.map(lambda v, g: v - g, p, loss(p)),
            params,
        )
        return head.apply(params, features).log_concentration[0, 0]

    found = descend()
    assert abs(np.exp(found) - r) < 0.15


class Encoder(nn.Module):
    """Reads two parts of a dict."""

    @nn.compact
    def __call__(self, x):
        seen = jnp.where(x["real"]["observed"], x["real"]["value"], 0.0)
        features = jnp.concatenate([seen, x["count"]], axis=1) / 10
        return vae_jax.posteriors.DiagonalNormalPosterior(2)(features)


def test_a_dict_trains_evaluates_and_ensembles():
    """A table of three kinds through every public function."""
    numbers = rng()
    count = numbers.poisson(3.0, size=(30, 4)).astype(np.float32)
    value = count[:, :2] + numbers.normal(size=(30, 2)).astype(np.float32)
    observed = numbers.random((30, 2)) < 0.8
    x = {
        "real": {"value": np.where(observed, value, np.nan), "observed": observed},
        "class": (count[:, :3] > 2).astype(np.int32),
        "count": count,
    }
    model = vae_jax.VAE(
        encoder=Encoder(),
        prior=vae_jax.priors.StandardNormal(2),
        decoder=nn.Sequential([vae_jax.MLPDecoder((HEAD.num_features(),), (8,)), HEAD]),
    )
    trainer = vae_jax.vae_trainer(
        model, vae_jax.bounds.iwae, optax.adam(1e-2), num_samples=2
    )
    many = vae_jax.ensemble(trainer)
    hparams = vae_jax.make_hparams(kl_weight=[0.5, 1.0])
    keys = jax.random.split(KEY, 2)
    states = jit(many.init)(keys, x)
    step = jit(many.step)
    losses = []
    for _ in range(30):
        states, metrics = step(states, x, keys, hparams)
        losses.append(np.asarray(metrics["loss"]))
    assert np.isfinite(losses).all()
    assert (np.mean(losses[-5:], axis=0) < np.mean(losses[:5], axis=0)).all()
    params = jax.tree.map(lambda leaf: leaf[1], states.eval_params)
    found = vae_jax.evaluate(model, params, x, KEY, num_samples=20, batch_size=7)
    assert found["elbo"] == pytest.approx(-(found["rate"] + found["distortion"]))
    assert -found["nll"] > found["elbo"]
    assert found["bits_per_dim"] is None
    statistics = vae_jax.importance_statistics(
        vae_jax.model_functions(model).apply, params, x, KEY, 20
    )
    assert statistics["log_px"].shape == (30,)
    assert abs(np.mean(statistics["log_px"]) + found["nll"]) < 1.0
