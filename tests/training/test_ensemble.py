"""Members side by side are the single runs, and don't know of each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import linear_gaussian as lg
from tests.battery import FAST_COMPILE
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.training.ensemble import ensemble
from vae_jax.training.functions import ModelFunctions
from vae_jax.training.state import make_hparams, scale_by_hparam
from vae_jax.training.step import vae_trainer

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
M, STEPS = 3, 4
KEYS = jax.random.split(jax.random.key(5), M)
WEIGHTS, RATES = [0.0, 1.0, 4.0], [0.01, 0.02, 0.03]


def init(key, x):
    """Parameters that depend on the key."""
    shift = 0.3 * jax.random.normal(key)
    return jax.tree.map(lambda leaf: leaf + shift, lg.make_params())


TRAINER = vae_trainer(
    ModelFunctions(init, lg.apply),
    elbo_loss,
    optax.chain(optax.scale_by_adam(), scale_by_hparam()),
    num_samples=2,
    ema_decay=0.5,
)
MANY = ensemble(TRAINER)
INIT, INIT_MANY = jit(TRAINER.init), jit(MANY.init)


@pytest.fixture(scope="module")
def x():
    return lg.draw_x(lg.make_params(), 8)


@functools.partial(jit, static_argnums=0)
def steps(trainer, state, x, key, hparams):
    """State and metrics [STEPS, ...] after some steps."""

    def step(state, _):
        return trainer.step(state, x, key, hparams)

    return jax.lax.scan(step, state, length=STEPS)


def of_member(tree, m, axis=0):
    return jax.tree.map(lambda leaf: np.asarray(leaf).take(m, axis), tree)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_members_are_single_runs(x):
    states = INIT_MANY(KEYS, x)
    hparams = make_hparams(kl_weight=WEIGHTS, learning_rate=RATES)
    states, metrics = steps(MANY, states, x, KEYS, hparams)
    assert states.step.shape == (M,) and metrics["loss"].shape == (STEPS, M)
    for m in range(M):
        own = make_hparams(kl_weight=WEIGHTS[m], learning_rate=RATES[m])
        alone = steps(TRAINER, INIT(KEYS[m], x), x, KEYS[m], own)
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-5),
            (of_member(states, m), of_member(metrics, m, axis=1)),
            alone,
        )


def test_members_with_equal_keys_and_numbers_are_equal(x):
    keys = KEYS[jnp.array([0, 0, 1])]
    hparams = make_hparams(kl_weight=[1.0, 1.0, 1.0], learning_rate=[0.1, 0.1, 0.1])
    states, _ = steps(MANY, INIT_MANY(keys, x), x, keys, hparams)
    assert_same(of_member(states.params, 0), of_member(states.params, 1))
    for leaf in jax.tree.leaves(states.params.model["encoder"]):
        assert (leaf[0] != leaf[2]).any()


def test_a_diverged_member_leaves_the_others_alone(x):
    states = INIT_MANY(KEYS, x)
    good = make_hparams(kl_weight=WEIGHTS, learning_rate=RATES)
    bad = make_hparams(kl_weight=[0.0, jnp.nan, 4.0], learning_rate=RATES)
    good_states, _ = steps(MANY, states, x, KEYS, good)
    bad_states, metrics = steps(MANY, states, x, KEYS, bad)
    assert np.isnan(metrics["loss"][:, 1]).all()
    for m in (0, 2):
        assert_same(of_member(good_states, m), of_member(bad_states, m))
