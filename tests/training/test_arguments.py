"""What a user may get wrong in a trainer or objective: one line with what to write."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import vae_jax
from tests.training.small import HPARAMS, KEY, TX, B, D, Model, X, jit, make, step_of
from vae_jax import bounds, schedules
from vae_jax.errors import ConfigError, ContractError


class Transformed(NamedTuple):
    """What Haiku makes of a function."""

    init: object
    apply: object


class NNXModel(nnx.Module):
    pass


ARGUMENTS = {
    "number for tx": ({"tx": 1e-3}, r"tx is 0.001: .*write optax.adam\(0.001\)"),
    "optax.adam": ({"tx": optax.adam}, r"function adam: .*call it, as in optax.adam\("),
    "MultiSteps": ({"tx": optax.MultiSteps}, "tx is the class MultiSteps"),
    "no tx": ({"tx": None}, "tx is None: .*optax transformation"),
    "swapped": (
        {"objective": TX, "tx": vae_jax.elbo_loss},
        r"\(model, objective, tx\)",
    ),
    "model last": ({"model": TX}, r"optax transformation.*\(model, objective, tx\)"),
    "miwae": ({"objective": bounds.miwae}, r"takes \(num_groups\).*miwae\(num_groups="),
    "name": ({"objective": "elbo"}, "objective is 'elbo': it must be a function"),
    "tuple": ({"model": (len, len)}, r"a tuple of 2.*ModelFunctions\(init, apply\)"),
    "haiku": ({"model": Transformed(len, len)}, r"a tuple of 2.*apply\(params, x, key"),
    "class": ({"model": Model}, r"the class Model.*make one of it, as in Model\("),
    "nnx": ({"model": NNXModel()}, "NNXModel.*nnx.split.*nnx.merge.*ModelFunctions"),
    "shape": (
        {"schedule": schedules.linear},
        r"a shape that gives a factor.*schedules.scale\('kl_weight', linear\)",
    ),
    "optax schedule": (
        {"schedule": optax.linear_schedule(0.0, 1.0, 10)},
        r"takes \(count\).*schedules.scale\('kl_weight', lambda step, _: factor\(step",
    ),
    "warm-up": ({"schedule": 100}, "schedule is 100: it must be a function"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_argument_that_is_no_such_thing(name):
    options, message = ARGUMENTS[name]
    with pytest.raises(ContractError, match=message) as found:
        make(**options)
    assert "\n" not in str(found.value)


def test_numbers_of_the_trainer_that_make_no_sense():
    for value in (0, -1, 1.0, True, "3", None):
        with pytest.raises(
            ConfigError, match=f"num_samples={value!r}: must be a whole"
        ):
            make(num_samples=value)
    for value in (1.5, 1, -0.1, float("nan"), "0.9"):
        with pytest.raises(ConfigError, match=f"ema_decay={value!r}: must be at least"):
            make(ema_decay=value)
    make(num_samples=np.int64(2), ema_decay=np.float32(0.9))


def test_arguments_that_are_all_right():
    multi = optax.MultiSteps(TX, 2)
    for tx in (
        optax.adam(1e-3),
        optax.chain(TX),
        multi,
        multi.gradient_transformation(),
    ):
        make(tx=tx)
    for objective in (
        vae_jax.elbo_loss,
        bounds.renyi(0.5),
        functools.partial(vae_jax.elbo_loss),
    ):
        make(objective=objective)
    half = schedules.scale(
        "kl_weight", lambda step, _: optax.constant_schedule(0.5)(step)
    )
    now = half(jnp.zeros(()), {"kl_weight": jnp.ones(())})
    assert now["kl_weight"] == 0.5
    make(schedule=half)
    make(schedule=lambda step, hparams: hparams)


# Objectives that take the axis of samples for that of examples.

FORGETFUL = {
    "rate()": lambda out, x, h: out.rate().mean(),
    "log_ratio()": lambda out, x, h: out.log_ratio().mean(),
    "log_lik(x)": lambda out, x, h: -out.log_lik(x).mean(),
    "kl()": lambda out, x, h: out.latents[0].kl().mean(),
    "log_w": lambda out, x, h: -out.log_w(x).mean(),
}


@pytest.mark.parametrize("num_samples", [1, 3])
@pytest.mark.parametrize("name", FORGETFUL)
def test_objective_that_forgets_the_sample_axis(name, num_samples):
    def objective(output, x, hparams):
        return FORGETFUL[name](output, x, hparams), {}

    with pytest.raises(ContractError, match=r"vae_jax.terms\(output, x\)") as found:
        step_of(objective, {}, num_samples=num_samples)
    assert f"({num_samples}, {B}, {D})" in str(found.value)


def test_terms_are_the_methods_of_each_sample():
    init, apply = vae_jax.model_functions(Model())
    params, apply = jit(init)(KEY, X), jit(apply)
    outputs = [apply(params, X, key) for key in jax.random.split(KEY, 3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)
    found = jit(vae_jax.terms)(stacked, X)
    for name, arguments in (("log_lik", (X,)), ("rate", ()), ("log_ratio", ())):
        value = getattr(found, name)
        assert value.shape == (3, B)
        expected = [getattr(output, name)(*arguments) for output in outputs]
        np.testing.assert_allclose(value, np.stack(expected), rtol=1e-5)
    point = vae_jax.distributions.Deterministic(stacked.latents[0].z)
    latents = (stacked.latents[0].replace(posterior=point),)
    plain = vae_jax.terms(stacked.replace(latents=latents), X)
    assert plain.log_ratio is None and (plain.rate == 0).all()


def test_a_number_is_no_key():
    trainer = make()
    state = jit(trainer.init)(KEY, X)
    variables = state.eval_variables
    doors = [
        lambda key: trainer.init(key, X),
        lambda key: trainer.loss(state.params, X, key, HPARAMS),
        lambda key: trainer.step(state, X, key, HPARAMS),
        lambda key: vae_jax.evaluate(Model(), variables, X, key, num_samples=1),
    ]
    for door in doors:
        with pytest.raises(ContractError, match="key is int: give jax.random.key"):
            door(3)
        with pytest.raises(ContractError, match="key is an array of int32: give jax"):
            jax.eval_shape(door, 3)


def test_metrics_may_not_be_called_loss():
    def objective(output, x, hparams):
        loss, _ = vae_jax.elbo_loss(output, x, hparams)
        return loss, {"loss": 2 * loss}

    with pytest.raises(ContractError, match="metrics have the name 'loss'"):
        step_of(objective)


def test_examples_that_are_none():
    trainer = make()
    for x, message in (
        (X[:0], r"x has the shape \(0, 5\): it holds no examples"),
        (X.tolist(), "x, a list, holds no arrays"),
        ({}, "x, a dict, holds no arrays"),
    ):
        with pytest.raises(ContractError, match=message):
            trainer.init(KEY, x)
    state = trainer.init(KEY, X)
    with pytest.raises(ContractError, match="it holds no examples"):
        trainer.step(state, X[:0], KEY, HPARAMS)


def test_what_an_ensemble_takes_for_each_member():
    trainer, keys = make(), jax.random.split(KEY, 3)
    many = vae_jax.ensemble(trainer)
    states = jax.eval_shape(many.init, keys, X)
    hparams = vae_jax.make_hparams(kl_weight=[1.0] * 3)
    step = functools.partial(jax.eval_shape, many.step, states, X)
    step(keys, hparams)
    with pytest.raises(ContractError, match=r"'kl_weight'\] is one number.* \* M"):
        step(keys, HPARAMS)
    with pytest.raises(ContractError, match="keys is a single key"):
        step(KEY, hparams)
    with pytest.raises(ContractError, match=r"of \(3,\) keys: .*vae_jax.ensemble"):
        jax.eval_shape(trainer.step, states, X, keys, hparams)


def test_parameters_that_are_not_those_of_the_model():
    trainer = make()
    state = trainer.init(KEY, X)
    with pytest.raises(ContractError, match="is of type dict: give state.params"):
        trainer.loss(state.eval_variables, X, KEY, HPARAMS)
    for given, name in ((state, "TrainState"), (state.params, "Learned")):
        with pytest.raises(ContractError, match=f"a {name}: give state.eval_variab"):
            vae_jax.evaluate(Model(), given, X, KEY)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), state.eval_variables)
    with pytest.raises(ContractError, match="not those of this model.* jax.vmap maps"):
        vae_jax.evaluate(Model(), stacked, X, KEY)
