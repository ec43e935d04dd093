"""Bounds and gradient estimators on a linear-Gaussian VAE whose log p(x) is known."""

import functools
import math

import jax
import numpy as np
import optax
import pytest
from scipy.special import logsumexp, softmax

from tests import linear_gaussian as lg
from tests.battery import FAST_COMPILE
from vae_jax.errors import ConfigError
from vae_jax.objectives import bounds
from vae_jax.training.functions import (
    ModelFunctions,
    apply_samples,
    model_functions,
)
from vae_jax.training.split import separate_encoder
from vae_jax.training.state import make_hparams
from vae_jax.training.step import vae_trainer

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
K, B = 8, 5
KEY = jax.random.key(0)
MODEL = ModelFunctions(
    lambda key, x: lg.make_params(shift=0.3, log_scale=0.1), lg.apply
)
SPLIT = model_functions(separate_encoder(MODEL))
HPARAMS = make_hparams()

PLAIN = {
    "elbo_mc": bounds.elbo_mc,
    "iwae": bounds.iwae,
    "miwae": bounds.miwae(4),
    "ciwae": bounds.ciwae(0.3),
    "renyi": bounds.renyi(0.5),
    "renyi_negative": bounds.renyi(-1.0),
    "stl": bounds.stl,
}
SPLITTING = {"dreg": bounds.dreg, "piwae": bounds.piwae(4)}
ALL = PLAIN | SPLITTING


def output_of(objective, params, x, key, num_samples=K):
    model = SPLIT if objective in SPLITTING.values() else MODEL
    return apply_samples(model.apply, params, x, key, num_samples)


def loss_of(objective, params, x, key, num_samples=K, hparams=HPARAMS):
    output = output_of(objective, params, x, key, num_samples)
    return objective(output, x, hparams)[0]


WEIGHTS = {
    "one": make_hparams(kl_weight=1.0),
    "none": make_hparams(kl_weight=0.0),
    "default": HPARAMS,
}


@jit
def values_of_all(params, x):
    """Of every name with every weight, the loss and the metrics."""
    outputs = {name: output_of(own, params, x, KEY) for name, own in ALL.items()}
    return {
        name: {n: own(outputs[name], x, hparams) for n, hparams in WEIGHTS.items()}
        for name, own in ALL.items()
    }


@jit
def losses_and_gradients_of_all(params, x):
    differentiate = jax.value_and_grad(loss_of, argnums=1)
    return {name: differentiate(own, params, x, KEY) for name, own in ALL.items()}


def losses_of(objectives, params, x):
    """Of the same draws."""
    key = jax.random.key(2)
    return jit(lambda: [loss_of(each, params, x, key) for each in objectives])()


def gradients_of(objective, params, x, num_keys, num_samples=K):
    """Gradients with many keys: a tree of arrays [num_keys, ...]."""
    gradient = jax.grad(loss_of, argnums=1)

    @jax.jit
    def with_many_keys():
        keys = jax.random.split(jax.random.key(3), num_keys)
        return jax.vmap(lambda key: gradient(objective, params, x, key, num_samples))(
            keys
        )

    return jax.tree.map(np.asarray, with_many_keys())


def assert_same_mean(one, other):
    """Within five standard errors; 0.001 covers float32 rounding."""

    def compare(a, b):
        error = np.sqrt((np.var(a, axis=0) + np.var(b, axis=0)) / len(a))
        difference = np.abs(np.mean(a, axis=0) - np.mean(b, axis=0))
        assert np.all(difference < 5 * error + 1e-3)

    jax.tree.map(compare, one, other)


@pytest.mark.parametrize("name", ALL)
def test_every_bound_is_log_px_at_the_exact_posterior(name):
    params = lg.make_params()
    x = lg.draw_x(params, B)
    loss, metrics = values_of_all(params, x)[name]["default"]
    expected = lg.exact(params).logpdf(np.asarray(x)).mean()
    np.testing.assert_allclose(-loss, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["bound"], expected, rtol=1e-5)
    assert {"elbo", "rate", "distortion", "bound"} <= set(metrics)


def test_iwae_with_one_sample_is_the_vae():
    params = lg.make_params(shift=0.4)
    x = lg.draw_x(params, B)
    differentiate = jit(jax.value_and_grad(loss_of, argnums=1), static_argnums=(0, 4))
    for seed in range(5):
        key = jax.random.key(seed)
        one = differentiate(bounds.elbo_mc, params, x, key, 1)
        other = differentiate(bounds.iwae, params, x, key, 1)
        # Gradients are sums over the batch whose terms, of order 1, nearly cancel.
        same = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
        jax.tree.map(same, one, other)


def test_special_cases():
    params = lg.make_params(shift=0.4)
    x = lg.draw_x(params, B)
    are_vae = bounds.miwae(K), bounds.ciwae(1.0), bounds.renyi(1.0)
    are_iwae = bounds.miwae(1), bounds.ciwae(0.0), bounds.renyi(0.0)
    for usual, cases in (
        (bounds.elbo_mc, are_vae),
        (bounds.iwae, (*are_iwae, *SPLITTING.values())),
    ):
        expected, *found = losses_of((usual, *cases), params, x)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_order_of_the_bounds():
    """On the same draws: power means rise as alpha falls, groups lose."""
    params = lg.make_params(shift=0.5)
    x = lg.draw_x(params, B)
    rising = [bounds.renyi(alpha) for alpha in (2.0, 1.0, 0.5, 0.0, -1.0, -20.0)]
    groups = [bounds.miwae(m) for m in (8, 4, 2, 1)]
    for objectives in (rising, groups):
        losses = np.asarray(losses_of(objectives, params, x))
        assert (losses[:-1] > losses[1:]).all()


def test_bounds_by_hand():
    log_w = np.float32([[0.0, -1.0], [2.0, -3.0], [1.0, 0.5], [-4.0, 0.0]])
    w = np.exp(np.float64(log_w))
    mean = jit(bounds.log_mean_weight)(log_w)
    np.testing.assert_allclose(mean, np.log(w.mean(axis=0)), rtol=1e-6)
    pairs = np.log((w[[0, 2]] + w[[1, 3]]) / 2).mean(axis=0)
    np.testing.assert_allclose(jit(bounds.grouped_bound(2))(log_w), pairs, rtol=1e-6)
    power = np.log((w**0.3).mean(axis=0)) / 0.3
    np.testing.assert_allclose(jit(bounds.renyi_bound(0.7))(log_w), power, rtol=1e-5)


def value_and_slope(bound, log_w):
    value, pull_back = jax.vjp(bound, log_w)
    return value, pull_back(np.ones(6, np.float32))[0]


@pytest.mark.parametrize("spread", [0.1, 3.0, 300.0])
def test_renyi_keeps_its_digits_near_alpha_one(spread):
    """In value and gradient, against float64, for narrow and for wide weights."""
    log_w = np.float32(np.random.default_rng(0).normal(size=(16, 6)) * spread - 90.0)
    exact = np.float64(log_w)
    # The result is rounded to float32, which for hundreds of nats has five digits.
    within = {"atol": 1e-5, "rtol": 3e-7}
    for power in np.concatenate([sign * np.logspace(-6, 0, 13) for sign in (1, -1)]):
        bound = bounds.renyi_bound(1.0 - power)
        value, slope = value_and_slope(bound, log_w)
        power = 1.0 - (1.0 - power)  # what is left of it
        expected = logsumexp(power * exact, axis=0) - math.log(len(exact))
        np.testing.assert_allclose(value, expected / power, **within)
        expected = softmax(power * exact, axis=0)
        np.testing.assert_allclose(slope, expected, rtol=2e-4, atol=1e-6)
    value, _ = value_and_slope(bounds.renyi_bound(1.0), log_w)
    np.testing.assert_allclose(value, exact.mean(axis=0), **within)


@pytest.mark.parametrize("name", ALL)
def test_bounds_keep_finite_at_huge_log_weights(name):
    params = lg.make_params(shift=40.0)  # log-weights around -10,000
    x = lg.draw_x(params, B)
    loss, gradient = losses_and_gradients_of_all(params, x)[name]
    assert np.isfinite(loss)
    jax.tree.map(
        lambda g: np.testing.assert_array_equal(np.isfinite(g), True), gradient
    )


def test_stl_is_unbiased_and_silent_at_the_exact_posterior():
    params = lg.make_params(shift=0.3, log_scale=0.2)
    x = lg.draw_x(params, B)
    stl = gradients_of(bounds.stl, params, x, 10_000, num_samples=2)
    plain = gradients_of(bounds.elbo_mc, params, x, 10_000, num_samples=2)
    assert_same_mean(stl, plain)

    exact = lg.make_params()
    stl = gradients_of(bounds.stl, exact, x, 200)["encoder"]
    plain = gradients_of(bounds.elbo_mc, exact, x, 200)["encoder"]
    for name in stl:
        assert np.abs(stl[name]).max() < 1e-4
        assert np.var(plain[name], axis=0).max() > 1e-4


def test_dreg_is_unbiased_with_less_variance():
    params = lg.make_params(shift=0.3, log_scale=0.2)
    x = lg.draw_x(params, B)
    dreg = gradients_of(bounds.dreg, params, x, 20_000)
    plain = gradients_of(bounds.iwae, params, x, 20_000)
    assert_same_mean(dreg, plain)
    # The decoder's gradient is not merely equal in mean.
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4),
        dreg["decoder"],
        plain["decoder"],
    )
    for name in dreg["encoder"]:
        ratio = np.var(dreg["encoder"][name]) / np.var(plain["encoder"][name])
        assert ratio < 0.5


def test_signal_to_noise_with_k():
    """Rises for DReG, falls for IWAE: Tucker et al. 2019, section 3."""
    params = lg.make_params(shift=0.3, log_scale=0.2)
    x = lg.draw_x(params, 1)

    def ratio(objective, num_samples):
        gradient = gradients_of(objective, params, x, 4000, num_samples)
        values = gradient["encoder"]["bias"]
        return np.mean(np.abs(values.mean(axis=0)) / values.std(axis=0))

    assert ratio(bounds.dreg, 64) > 1.5 * ratio(bounds.dreg, 4)
    assert ratio(bounds.iwae, 64) < 0.7 * ratio(bounds.iwae, 4)


def test_piwae_trains_two_halves_by_two_bounds():
    params = lg.make_params(shift=0.3)
    x = lg.draw_x(params, B)

    gradient = jit(jax.grad(loss_of, argnums=1), static_argnums=0)
    piwae, miwae, iwae = (
        gradient(objective, params, x, jax.random.key(5))
        for objective in (SPLITTING["piwae"], bounds.miwae(4), bounds.iwae)
    )
    same = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(same, piwae["encoder"], miwae["encoder"])
    jax.tree.map(same, piwae["decoder"], iwae["decoder"])
    with pytest.raises(AssertionError):
        jax.tree.map(same, miwae["decoder"], iwae["decoder"])


@pytest.mark.parametrize("name", ALL)
def test_kl_weight_warms_up_and_the_metrics_stay_at_one(name):
    params = lg.make_params(shift=0.3)
    x = lg.draw_x(params, B)
    found = values_of_all(params, x)[name]
    (loss, metrics), (without, metrics_without) = found["one"], found["none"]
    _, metrics_default = found["default"]
    jax.tree.map(np.testing.assert_array_equal, metrics, metrics_without)
    jax.tree.map(np.testing.assert_array_equal, metrics, metrics_default)
    assert without != loss
    if name == "elbo_mc":
        np.testing.assert_allclose(without, metrics["distortion"], rtol=1e-6)


@pytest.mark.parametrize("name", ["iwae", "stl", "dreg", "piwae"])
def test_training_improves_the_bound(name):
    trainer = vae_trainer(MODEL, ALL[name], optax.adam(1e-2), num_samples=K)
    x = lg.draw_x(lg.make_params(), 64)
    state = jit(trainer.init)(KEY, x)
    step = jit(trainer.step)
    history = []
    for _ in range(50):
        state, metrics = step(state, x, jax.random.key(1), HPARAMS)
        history.append(float(metrics["elbo"]))
    assert np.mean(history[-5:]) > np.mean(history[:5]) + 0.05


def test_arguments_that_make_no_sense():
    params = lg.make_params()
    x = lg.draw_x(params, B)
    with pytest.raises(ConfigError, match="num_groups=3: must divide num_samples=8"):
        losses_of([bounds.miwae(3)], params, x)
    with pytest.raises(ConfigError, match="elbo_share=1.5"):
        bounds.ciwae(1.5)
    with pytest.raises(TypeError, match="separate_encoder"):
        jax.eval_shape(
            lambda: bounds.dreg(apply_samples(lg.apply, params, x, KEY, K), x, HPARAMS)
        )
    with pytest.raises(ConfigError, match="encoder_prefix='q_'"):
        model_functions(separate_encoder(MODEL, "q_")).apply(params, x, KEY)


def test_split_costs_no_second_forward_pass():
    """The compiler merges the two: the loss alone costs what IWAE's does."""
    params = lg.make_params()
    x = lg.draw_x(params, B)

    def flops(objective):
        function = jax.jit(lambda p: loss_of(objective, p, x, jax.random.key(0)))
        cost = function.lower(params).compile().cost_analysis()
        return (cost[0] if isinstance(cost, list) else cost)["flops"]

    assert math.isclose(flops(SPLITTING["piwae"]), flops(PLAIN["miwae"]), rel_tol=0.2)
