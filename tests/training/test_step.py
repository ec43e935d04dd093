"""The train step: pure, explicit in its keys, compiled once, right in its gradient."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax
from tests.battery import FAST_COMPILE
from vae_jax.distributions import Bernoulli, DiagonalNormal
from vae_jax.training.functions import model_functions
from vae_jax.training.state import Learned, scale_by_hparam

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
SHAPE, B = (4, 4, 1), 6
KEY = jax.random.key(7)
PIXELS = np.float32(np.random.default_rng(0).random((B, *SHAPE)) < 0.4)


def make_model(latent_dim=2):
    return vae_jax.VAE(
        encoder=nn.Sequential(
            [
                vae_jax.MLPEncoder((5,), nn.tanh),
                vae_jax.posteriors.DiagonalNormalPosterior(latent_dim),
            ]
        ),
        prior=vae_jax.priors.StandardNormal(latent_dim),
        decoder=nn.Sequential(
            [
                vae_jax.MLPDecoder(SHAPE, (5,), nn.tanh),
                vae_jax.likelihoods.BernoulliLikelihood(),
            ]
        ),
    )


def make_trainer(tx=None, **options):
    tx = optax.sgd(0.1) if tx is None else tx
    return vae_jax.vae_trainer(make_model(), vae_jax.elbo_loss, tx, **options)


@pytest.fixture(scope="module")
def x():
    return jnp.asarray(PIXELS, jnp.float32)


def hparams(weight=1.0, **others):
    return vae_jax.make_hparams(kl_weight=weight, **others)


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def same(a, b):
    return all((p == q).all() for p, q in zip(leaves(a), leaves(b), strict=True))


def test_same_arguments_same_bits_and_the_state_is_not_changed(x):
    trainer = make_trainer()
    state = jit(trainer.init)(KEY, x)
    before = leaves(state)
    step = jit(trainer.step)
    first, second = step(state, x, KEY, hparams()), step(state, x, KEY, hparams())
    assert same(first, second)
    assert all((a == b).all() for a, b in zip(before, leaves(state), strict=True))
    assert int(first[0].step) == 1


def test_noise_depends_on_the_key_and_on_the_step(x):
    trainer = make_trainer(optax.sgd(0.0))
    step = jit(trainer.step)
    state = jit(trainer.init)(KEY, x)
    loss = [float(step(state, x, KEY, hparams())[1]["loss"])]
    loss.append(float(step(state, x, jax.random.key(8), hparams())[1]["loss"]))
    later = step(state, x, KEY, hparams())[0]
    assert same(later.params, state.params)
    loss.append(float(step(later, x, KEY, hparams())[1]["loss"]))
    assert len(set(loss)) == 3


def test_one_trace_for_every_weight(x):
    trainer = make_trainer()
    traces = []

    def counted(*arguments):
        traces.append(1)
        return trainer.step(*arguments)

    step = jit(counted)
    state = jit(trainer.init)(KEY, x)
    for weight in (0.0, 1.0, 4):
        _, metrics = step(state, x, KEY, hparams(weight))
        assert metrics["kl_weight"] == weight
    assert len(traces) == 1


def test_update_is_the_finite_difference_gradient(x):
    """In float64, against central differences of the loss on the same noise."""
    with jax.enable_x64(True):
        x64 = jnp.asarray(np.asarray(x), jnp.float64)
        trainer = make_trainer(optax.sgd(1.0), num_samples=2)
        state = jit(trainer.init)(KEY, x64)
        state = state.replace(
            params=jax.tree.map(lambda p: p.astype(jnp.float64), state.params)
        )
        flat, unravel = jax.flatten_util.ravel_pytree(state.params)

        @jit
        def after_a_step(values):
            now = state.replace(params=unravel(values))
            after, metrics = trainer.step(now, x64, KEY, hparams(2.0))
            return metrics["loss"], jax.flatten_util.ravel_pytree(after.params)[0]

        flat = np.asarray(flat)
        gradient = flat - after_a_step(flat)[1]
        for i in np.random.default_rng(0).choice(len(flat), 12, replace=False):
            shift = np.zeros_like(flat)
            shift[i] = 1e-4
            above, below = (float(after_a_step(flat + s)[0]) for s in (shift, -shift))
            difference = (above - below) / 2e-4
            np.testing.assert_allclose(gradient[i], difference, rtol=1e-3, atol=1e-6)


def test_samples_are_averaged(x):
    """K samples give the mean of the losses of their keys."""
    model = model_functions(make_model())
    params = jit(model.init)(KEY, x)
    key = jax.random.fold_in(KEY, 0)

    @jit
    def single(key):
        output = jax.tree.map(lambda a: a[None], model.apply(params, x, key))
        return vae_jax.elbo_loss(output, x, hparams())[0]

    singles = [single(k) for k in jax.random.split(key, 4)]
    trainer = make_trainer(num_samples=4)
    state = jit(trainer.init)(KEY, x).replace(params=Learned(params, {}))
    _, metrics = jit(trainer.step)(state, x, KEY, hparams())
    np.testing.assert_allclose(metrics["loss"], np.mean(singles), rtol=1e-5)


def test_averaged_parameters_follow_the_formula(x):
    trainer = make_trainer(ema_decay=0.9)
    step = jit(trainer.step)
    state = jit(trainer.init)(KEY, x)
    expected = leaves(state.params)
    for t in range(12):
        state, _ = step(state, x, KEY, hparams())
        decay = min(0.9, (1 + t) / (10 + t))
        now = leaves(state.params)
        expected = [
            decay * e + (1 - decay) * p for e, p in zip(expected, now, strict=True)
        ]
    for ours, theirs in zip(leaves(state.eval_params), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert not same(state.eval_params, state.params)


@pytest.mark.parametrize(
    ("tx", "own"),
    [
        (optax.adam(1e-2), {}),
        (optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1, momentum=0.9)), {}),
        (optax.lion(1e-3), {}),
        (
            optax.chain(optax.scale_by_adam(), scale_by_hparam()),
            {"learning_rate": 0.1},
        ),
    ],
    ids=["adam", "clip+momentum", "lion", "traced rate"],
)
def test_any_optimiser_lowers_the_loss_and_the_state_is_arrays(tx, own, x):
    trainer = make_trainer(tx)
    step = jit(trainer.step)
    state = jit(trainer.init)(KEY, x)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    losses = []
    for _ in range(100):
        state, metrics = step(state, x, KEY, hparams(**own))
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_learning_rate_is_traced(x):
    trainer = make_trainer(scale_by_hparam())
    step = jit(trainer.step)
    state = jit(trainer.init)(KEY, x)

    start = jax.tree.map(np.asarray, state.params)

    def moved(rate):
        now = vae_jax.make_hparams(kl_weight=1.0, learning_rate=rate)
        after = step(state, x, KEY, now)[0].params
        return jax.tree.map(lambda a, b: np.asarray(a) - b, after, start)

    for small, large in zip(leaves(moved(1.0)), leaves(moved(2.0)), strict=True):
        np.testing.assert_allclose(2 * small, large, rtol=1e-3, atol=1e-5)
    assert all((leaf == 0).all() for leaf in leaves(moved(0.0)))


def test_scan_equals_steps_in_turn(x):
    trainer = make_trainer()
    state = jit(trainer.init)(KEY, x)

    def body(state, _):
        return trainer.step(state, x, KEY, hparams())

    scanned, metrics = jit(lambda s: jax.lax.scan(body, s, length=5))(state)
    step = jit(trainer.step)
    for i in range(5):
        state, now = step(state, x, KEY, hparams())
        np.testing.assert_allclose(now["loss"], metrics["loss"][i], rtol=1e-5)
    for a, b in zip(leaves(state), leaves(scanned), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_average_of_parameters_of_16_bits_has_32(x):
    class Half(nn.Module):
        @nn.compact
        def __call__(self, x, key):
            dense = functools.partial(nn.Dense, param_dtype=jnp.bfloat16)
            rows = x.reshape(len(x), -1)
            q = DiagonalNormal(dense(2)(rows), dense(2)(rows))
            z = q.sample(key)
            latent = vae_jax.Latent(z, q, DiagonalNormal.standard_like(z))
            logits = dense(rows.shape[1])(z).reshape(x.shape)
            return vae_jax.VAEOutput(Bernoulli(logits), (latent,))

    trainer = vae_jax.vae_trainer(
        Half(), vae_jax.elbo_loss, optax.sgd(0.1), ema_decay=0.9
    )
    state = jit(trainer.init)(KEY, x)

    def body(state, _):
        return trainer.step(state, x, KEY, hparams())

    end, _ = jax.eval_shape(lambda s: jax.lax.scan(body, s, length=3), state)
    same = jax.tree.map(lambda a, b: a.dtype == b.dtype, end, state)
    assert all(jax.tree.leaves(same))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(end.ema_params))


def test_a_schedule_needs_no_promotion_of_types():
    schedule = vae_jax.schedules.scale("kl_weight", vae_jax.schedules.linear)
    given = vae_jax.make_hparams(kl_weight=2.0, warmup_steps=10)
    with jax.numpy_dtype_promotion("strict"):
        assert schedule(jnp.int32(5), given)["kl_weight"] == 1.0
