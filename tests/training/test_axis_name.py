"""A step along a mapped axis: each place has rows of its own, and all end alike."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax
from vae_jax.distributions import Bernoulli, Deterministic, DiagonalNormal

PLACES, ROWS, PIXELS = 4, 8, 6
X = jax.random.bernoulli(jax.random.key(0), 0.4, (PLACES * ROWS, PIXELS))
X = X.astype(jnp.float32)
KEY = jax.random.key(1)
CUT = X.reshape(PLACES, ROWS, PIXELS)
HPARAMS = vae_jax.make_hparams(kl_weight=1.0)


class Normed(nn.Module):
    """A VAE, or an autoencoder without noise, with or without averages of the batch."""

    has_noise: bool = True
    has_state: bool = True

    @nn.compact
    def __call__(self, x, key, train):
        h = nn.Dense(5)(x)
        if self.has_state:
            h = nn.BatchNorm(use_running_average=not train, momentum=0.5)(h)
        mean = nn.Dense(2)(nn.tanh(h))
        q = Deterministic(mean)
        if self.has_noise:
            q = DiagonalNormal(mean, jnp.zeros_like(mean))
        z = q.sample(key)
        latent = vae_jax.Latent(z, q, DiagonalNormal.standard_like(z))
        return vae_jax.VAEOutput(Bernoulli(nn.Dense(PIXELS)(z)), (latent,))


def critic_init(key, output):
    return {"shift": jnp.zeros(())}


def critic_apply(params, output, x, hparams, key):
    loss, metrics = vae_jax.elbo_loss(output, x, hparams)
    own = (params["shift"] - output.latents[0].z.mean()) ** 2
    return vae_jax.with_gradient_of(loss, own), metrics


def with_constant(output, x, hparams):
    loss, metrics = vae_jax.elbo_loss(output, x, hparams)
    return loss, metrics | {"constant": 1.0}


def trained(
    model,
    objective=vae_jax.elbo_loss,
    steps=4,
    x=CUT,
    tx=optax.sgd(0.1),  # noqa: B008
    **settings,
):
    """The states of all places after some steps, and the last metrics."""
    trainer = vae_jax.vae_trainer(model, objective, tx, axis_name="data", **settings)
    state = jax.jit(trainer.init)(jax.random.key(2), X)
    step = jax.vmap(trainer.step, (None, 0, None, None), axis_name="data")
    states = None

    @jax.jit
    def one(state):
        return step(state, x, KEY, HPARAMS)

    for _ in range(steps):
        states, metrics = one(state)
        state = jax.tree.map(lambda leaf: leaf[0], states)
    return states, metrics


def test_without_noise_it_is_the_step_of_all_rows():
    model = Normed(has_noise=False, has_state=False)
    states, metrics = trained(model, steps=1)
    trainer = vae_jax.vae_trainer(model, vae_jax.elbo_loss, optax.sgd(0.1))
    state, wanted = jax.jit(trainer.step)(
        jax.jit(trainer.init)(jax.random.key(2), X), X, KEY, HPARAMS
    )
    for found, own in zip(
        jax.tree.leaves(states.params), jax.tree.leaves(state.params), strict=True
    ):
        np.testing.assert_allclose(found[0], own, rtol=1e-5, atol=1e-7)
    assert metrics["loss"][0] == pytest.approx(float(wanted["loss"]), rel=1e-5)
    assert metrics["grad_norm"][0] == pytest.approx(
        float(wanted["grad_norm"]), rel=1e-5
    )


@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        (vae_jax.elbo_loss, {"ema_decay": 0.9, "num_samples": 2}),
        (vae_jax.elbo_loss, {"skip_norm": 1.8}),
        (with_constant, {"tx": optax.lbfgs(memory_size=3)}),
        (vae_jax.Objective(critic_init, critic_apply, optimizer=optax.sgd(0.1)), {}),
    ],
    ids=["averages", "skipping", "line search", "two optimisers"],
)
def test_all_places_end_with_the_same_state(objective, settings):
    states, metrics = trained(Normed(), objective, **settings)
    for leaf in jax.tree.leaves((states, metrics)):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
    assert states.model_state and states.step.dtype == jnp.int32


def test_each_place_draws_noise_of_its_own():
    """The same rows everywhere: with the same noise it would be the step of one."""
    same = jnp.broadcast_to(CUT[:1], CUT.shape)
    states, _ = trained(Normed(has_state=False), steps=1, x=same)
    alone, _ = trained(Normed(has_state=False), steps=1, x=CUT[:1])
    found, own = (
        state.params.model["Dense_2"]["kernel"][0] for state in (states, alone)
    )
    assert np.abs(found - own).max() > 1e-4
