"""Objectives with a network of their own, such as the critic of FactorVAE."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax
from tests.training.small import KEY, TX, D, Model, X, jit, make
from vae_jax.errors import ContractError
from vae_jax.objectives.base import with_gradient_of


class Critic(nn.Module):
    """Says how much more likely codes are to come from q(z) than from its marginals."""

    @nn.compact
    def __call__(self, z):
        return nn.Dense(1)(nn.tanh(nn.Dense(8)(z)))[:, 0]


CRITIC = Critic()


def judge(params, z):
    return CRITIC.apply({"params": params}, z)


def parts(params, output, key):
    """The total correlation that the critic sees, and the critic's own loss."""
    z = output.latents[0].z[0]
    correlation = judge(jax.lax.stop_gradient(params), z).mean()
    fixed = jax.lax.stop_gradient(z)
    keys = jax.random.split(key, z.shape[1])
    shuffled = jax.vmap(jax.random.permutation, (0, 1), 1)(keys, fixed)
    real, fake = judge(params, fixed), judge(params, shuffled)
    return correlation, 0.5 * (nn.softplus(-real) + nn.softplus(fake)).mean()


def init(key, output):
    return CRITIC.init(key, output.latents[0].z[0])["params"]


def apply(params, output, x, hparams, key):
    loss, metrics = vae_jax.elbo_loss(output, x, hparams)
    correlation, critic_loss = parts(params, output, key)
    total = loss + hparams["tc_weight"] * correlation
    return with_gradient_of(total, critic_loss), metrics | {"critic": critic_loss}


FACTOR = vae_jax.Objective(init, apply, hparams=("kl_weight", "tc_weight"))
HPARAMS = vae_jax.make_hparams(kl_weight=1.0, tc_weight=3.0)


def test_each_player_has_its_own_gradient_and_none_of_the_other():
    trainer = make(objective=FACTOR)

    def both(params):
        with_axis = jax.tree.map(lambda leaf: leaf[None], output_of(params.model))
        return parts(params.objective, with_axis, KEY)

    def output_of(params):
        return vae_jax.model_functions(Model()).apply(params, X, KEY)

    @jit
    def gradients():
        params = trainer.init(KEY, X).params
        of_correlation, of_critic = jax.jacrev(both)(params)
        whole = jax.grad(lambda p: trainer.loss(p, X, KEY, HPARAMS)[0])(params)
        alone = jax.grad(lambda p: trainer.loss(p, X, KEY, HPARAMS)[1]["critic"])
        assert output_of(params.model).log_lik(X).shape == (len(X),)
        return of_correlation, of_critic, whole, alone(params).objective

    found = jax.tree.map(np.asarray, gradients())
    of_correlation, of_critic, whole, critic = found
    assert all((g == 0).all() for g in jax.tree.leaves(of_correlation.objective))
    assert all((g == 0).all() for g in jax.tree.leaves(of_critic.model))
    assert any((g != 0).any() for g in jax.tree.leaves(of_correlation.model))
    assert any((g != 0).any() for g in jax.tree.leaves(of_critic.objective))
    # So the gradient of the whole is that of the two losses, each to its own.
    jax.tree.map(np.testing.assert_array_equal, whole.objective, critic)


def test_three_weights_are_three_members_of_one_program():
    traces = []

    def counted(*arguments):
        traces.append(1)
        return apply(*arguments)

    tx = optax.multi_transform(
        {"model": optax.adam(1e-2), "critic": optax.sgd(0.1)},
        vae_jax.Learned(model="model", objective="critic"),
    )
    trainer = make(objective=FACTOR._replace(apply=counted), tx=tx)
    many = vae_jax.ensemble(trainer)
    keys = jax.random.split(KEY, 3)
    one_by_one = list(keys)
    hparams = vae_jax.make_hparams(kl_weight=[1.0] * 3, tc_weight=[0.0, 3.0, 30.0])
    states = jit(many.init)(keys, X)
    step = jit(many.step)
    for _ in range(2):
        states, metrics = step(states, X, keys, hparams)
    assert len(traces) == 1
    assert metrics["critic"].shape == (3,)
    init, step = jit(trainer.init), jit(trainer.step)
    for m in range(3):
        state = init(one_by_one[m], X)
        alone = {name: np.asarray(values)[m] for name, values in hparams.items()}
        for _ in range(2):
            state, _ = step(state, X, one_by_one[m], alone)
        jax.tree.map(
            lambda many, one, m=m: np.testing.assert_allclose(many[m], one, atol=1e-5),
            jax.tree.map(np.asarray, states.params),
            state.params,
        )


def test_a_plain_objective_has_no_parameters_and_can_be_called():
    trainer = make()
    params = jit(trainer.init)(KEY, X).params
    assert jax.tree.leaves(params.objective) == []
    assert vae_jax.bounds.iwae.needs_density
    assert vae_jax.bounds.dreg.splits_encoder
    wrapped = vae_jax.objective(vae_jax.elbo_loss)
    hparams = vae_jax.make_hparams(kl_weight=1.0)
    one, other = (
        jit(make(objective=o).loss)(params, X, KEY, hparams)[0]
        for o in (vae_jax.elbo_loss, wrapped)
    )
    assert one == other


def test_the_loss_is_what_the_step_minimises():
    """At step t with fold_in(key, t) and the scheduled numbers; and its gradient."""
    schedule = vae_jax.schedules.scale("kl_weight", vae_jax.schedules.linear)
    hparams = vae_jax.make_hparams(kl_weight=2.0, warmup_steps=4)
    trainer = make(schedule=schedule, num_samples=2)
    state = jit(trainer.init)(KEY, X).replace(step=jnp.int32(3))
    after, metrics = jit(trainer.step)(state, X, KEY, hparams)

    @jit
    def of_the_loss(params):
        t_key = jax.random.fold_in(KEY, 3)
        now = {"kl_weight": schedule(state.step, hparams)["kl_weight"]}
        return jax.value_and_grad(trainer.loss, has_aux=True)(params, X, t_key, now)

    (loss, _), grads = of_the_loss(state.params)
    start, grads = jax.tree.map(np.asarray, (state.params, grads))
    np.testing.assert_allclose(loss, metrics["loss"], rtol=1e-6)
    np.testing.assert_allclose(
        np.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads))),
        metrics["grad_norm"],
        rtol=1e-5,
    )
    jax.tree.map(
        lambda new, old, g: np.testing.assert_allclose(new, old - 0.1 * g, atol=1e-6),
        after.params,
        start,
        grads,
    )


@pytest.mark.parametrize("name", ["loss", "grad_norm", "skipped"])
def test_names_of_the_steps_own_metrics_are_refused(name):
    def wrong(output, x, hparams):
        loss, metrics = vae_jax.elbo_loss(output, x, hparams)
        return loss, metrics | {name: loss}

    trainer = make(objective=wrong, tx=TX)
    state = jax.eval_shape(trainer.init, KEY, X)
    hparams = vae_jax.make_hparams(kl_weight=1.0)
    with pytest.raises(ContractError, match=f"the name '{name}'"):
        jax.eval_shape(trainer.step, state, X, KEY, hparams)
    assert D == 2
