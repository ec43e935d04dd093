"""Optimisers that ask for more than the gradient are given it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax
from tests.training.small import HPARAMS, KEY, X, jit, make
from vae_jax.training.optimizers import with_extra_arguments


def sam():
    adversary = optax.chain(optax.contrib.normalize(), optax.sgd(0.01))
    return optax.contrib.sam(optax.sgd(0.05), adversary, sync_period=2)


OPTIMISERS = {
    "reduce_on_plateau": lambda: optax.chain(
        optax.adam(1e-2), optax.contrib.reduce_on_plateau(patience=1)
    ),
    "polyak_sgd": lambda: optax.polyak_sgd(max_learning_rate=0.1),
    "momo": lambda: optax.contrib.momo(0.01),
    "lbfgs": lambda: optax.lbfgs(memory_size=3),
    "sam": sam,
    "prodigy": lambda: optax.contrib.prodigy(0.1),
    "MultiSteps": lambda: optax.MultiSteps(optax.sgd(0.1), 2),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_that_ask_for_the_loss_lower_it(name):
    trainer = make(tx=OPTIMISERS[name]())
    state = trainer.init(KEY, X)
    step = jit(trainer.step, donate_argnums=0)  # no buffer may be there twice
    first = float(trainer.loss(state.params, X, KEY, HPARAMS)[0])
    for _ in range(12):
        state, _ = step(state, X, KEY, HPARAMS)
    assert float(trainer.loss(state.params, X, KEY, HPARAMS)[0]) < first


def test_a_traced_learning_rate_goes_through_multi_steps():
    """The mean gradient of two steps makes one update, at any rate, in one trace."""
    inner = optax.chain(optax.scale_by_adam(), vae_jax.scale_by_hparam())
    whole, halves = make(tx=inner), make(tx=optax.MultiSteps(inner, 2))
    traced = jit(halves.step)

    @jit
    def gradient(params, key):
        return jax.grad(lambda p: whole.loss(p, X, key, HPARAMS)[0])(params)

    for rate in (0.1, 0.01):
        hparams = HPARAMS | vae_jax.make_hparams(learning_rate=rate)
        state = jit(halves.init)(KEY, X)
        for _ in range(2):
            state, _ = traced(state, X, KEY, hparams)
        # The draws of the two steps differ; their mean gradient is what Adam sees.
        start = jit(whole.init)(KEY, X)
        keys = [jax.random.fold_in(KEY, t) for t in range(2)]
        grads = [gradient(start.params, k) for k in keys]
        mean = jax.tree.map(lambda a, b: (a + b) / 2, *grads)
        updates, _ = inner.update(mean, start.opt_state, start.params, hparams=hparams)
        expected = optax.apply_updates(start.params, updates)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
            state.params,
            expected,
        )
    assert traced._cache_size() == 1


def test_an_update_is_given_what_it_takes_and_nothing_else():
    seen = []

    def strict(updates, state, params=None, *, value):
        seen.append(value)
        return updates, state

    tx = with_extra_arguments(
        optax.GradientTransformationExtraArgs(lambda params: (), strict)
    )
    tx.update(jnp.ones(2), (), None, value=1.0, grad=2.0, hparams={})
    assert seen == [1.0]


def test_a_line_search_moves_its_own_player_only():
    """The other one's loss is a constant to it, and the other's optimiser its own."""

    def apply(params, output, x, hparams, key):
        loss, metrics = vae_jax.elbo_loss(output, x, hparams)
        return loss + (params - 3.0) ** 2, metrics

    two = vae_jax.Objective(
        lambda key, output: jnp.zeros(()),
        apply,
        hparams=("kl_weight",),
        optimizer=optax.sgd(0.25),
    )
    both, alone = (
        make(objective=objective, tx=OPTIMISERS["lbfgs"]())
        for objective in (two, vae_jax.elbo_loss)
    )
    states = [jit(trainer.init)(KEY, X) for trainer in (both, alone)]
    for _ in range(2):
        states = [
            jit(trainer.step)(state, X, KEY, HPARAMS)[0]
            for trainer, state in zip((both, alone), states, strict=True)
        ]
    moved, expected = (state.params.model for state in states)
    for one, other in zip(*map(jax.tree.leaves, (moved, expected)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    assert states[0].params.objective == 2.25  # half the way, twice
