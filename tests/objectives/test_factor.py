"""FactorVAE: two players that leave each other alone, and a critic that learns."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.small import KEY, jit, make
from vae_jax import make_hparams
from vae_jax.distributions import Bernoulli, DiagonalNormal
from vae_jax.objectives import factor
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.training.state import Learned

IMAGES = np.random.default_rng(0).integers(0, 2, (6, 5)).astype(np.float32)
FACTOR = factor.factor(hidden_dim=8, num_hidden=2, learning_rate=0.01)


def test_permuted_dimensions_are_the_same_numbers_in_another_order():
    z = jnp.arange(40.0).reshape(10, 4)
    found = np.asarray(factor.permute_dimensions(z, KEY))
    np.testing.assert_array_equal(np.sort(found, axis=0), z)
    orders = {tuple(column % 4 + column // 4) for column in found.T}
    assert len(orders) == 4


def test_the_critic_has_no_gradient_in_the_model_nor_the_model_in_the_critic():
    trainer = make(objective=FACTOR)
    state = jit(trainer.init)(KEY, IMAGES)

    def gradient(tc_weight):
        hparams = make_hparams(kl_weight=1.0, tc_weight=tc_weight)
        compute = jax.grad(lambda p: trainer.loss(p, IMAGES, KEY, hparams)[0])
        return jit(compute)(state.params)

    usual = make(objective=elbo_loss)
    of_elbo = jit(
        jax.grad(lambda p: usual.loss(p, IMAGES, KEY, make_hparams(kl_weight=1.0))[0])
    )(Learned(state.params.model, {}))
    none, some = gradient(0.0), gradient(5.0)
    # The critic's loss moves nothing in the model, and the model's nothing in it.
    jax.tree.map(np.testing.assert_array_equal, none.model, of_elbo.model)
    jax.tree.map(np.testing.assert_array_equal, none.objective, some.objective)
    assert all((g != 0).any() for g in jax.tree.leaves(some.objective))
    differ = jax.tree.map(lambda a, b: bool((a != b).any()), some.model, none.model)
    assert any(jax.tree.leaves(differ))


def test_a_critic_learns_the_total_correlation_of_known_codes():
    """Pairs with a correlation of 0.8: -1/2 log(1 - 0.64) = 0.51 nats; else 0."""
    objective = factor.factor(hidden_dim=32, num_hidden=2, learning_rate=5e-3)
    num, steps = 512, 600

    def trained(correlation, key):
        def output_at(key):
            a, b = jax.random.normal(key, (2, num))
            z = jnp.stack([a, correlation * a + jnp.sqrt(1 - correlation**2) * b], 1)
            latent = Latent(z[None], *[DiagonalNormal.standard_like(z[None])] * 2)
            return VAEOutput(Bernoulli(jnp.zeros((1, num, 1))), (latent,))

        def metrics_of(params, key):
            hparams = make_hparams(kl_weight=0.0, tc_weight=0.0)
            x = jnp.zeros((num, 1))
            return objective.apply(params, output_at(key), x, hparams, key)

        def step(carry, key):
            params, opt_state = carry
            grads, metrics = jax.grad(metrics_of, has_aux=True)(params, key)
            updates, opt_state = objective.optimizer.update(grads, opt_state)
            params = jax.tree.map(jnp.add, params, updates)
            return (params, opt_state), metrics

        params = objective.init(key, output_at(key))
        start = params, objective.optimizer.init(params)
        return jax.lax.scan(step, start, jax.random.split(key, steps))[1]

    metrics = jit(jax.vmap(trained, (0, None)))(jnp.array([0.0, 0.8]), KEY)
    found = np.asarray(metrics["tc"])[:, -100:].mean(axis=1)
    assert found == pytest.approx([0.0, -0.5 * math.log(1 - 0.64)], abs=0.06)
    accuracy = np.asarray(metrics["critic_accuracy"])[:, -100:].mean(axis=1)
    assert accuracy[0] == pytest.approx(0.5, abs=0.02) and accuracy[1] > 0.6
    assert metrics["critic_loss"][0, -100:].mean() == pytest.approx(
        math.log(2), abs=0.01
    )


def test_the_critic_has_its_own_optimiser():
    """Adam at its own rate, whatever that of the model is; and both take a step."""
    trainer = make(objective=FACTOR)  # with SGD for the model
    state = jit(trainer.init)(KEY, IMAGES)
    hparams = make_hparams(kl_weight=1.0, tc_weight=2.0)
    after, metrics = jit(trainer.step)(state, IMAGES, KEY, hparams)
    for old, new in zip(
        *map(jax.tree.leaves, (state.params.objective, after.params.objective)),
        strict=True,
    ):
        moved = np.abs(new - old)  # the first step of Adam is the rate times the sign
        np.testing.assert_allclose(moved[moved > 1e-6], 0.01, rtol=1e-2)
    key = jax.random.fold_in(KEY, 0)
    grads = jit(jax.grad(lambda p: trainer.loss(p, IMAGES, key, hparams)[0]))(
        state.params
    )
    jax.tree.map(
        lambda new, old, g: np.testing.assert_allclose(new, old - 0.1 * g, atol=1e-6),
        after.params.model,
        state.params.model,
        grads.model,
    )
    assert {"tc", "critic_loss", "critic_accuracy"} <= metrics.keys()
