"""What a step carries: layers with and without state, and x of any structure."""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import vae_jax
from tests.training.small import HPARAMS, KEY, B, Model, X, jit, make
from vae_jax.distributions import BaseDistribution, Bernoulli
from vae_jax.errors import ContractError
from vae_jax.training.checks import check_output

# What a Flax module may hold beside parameters, and what it may draw.


class Told(nn.Module):
    """The small model with a layer that differs between training and evaluation."""

    layer: object

    @nn.compact
    def __call__(self, x, key, train):
        return Model(lambda h, k: self.layer(h, train))(x, key)


STATEFUL = {
    "batch": lambda h, train: nn.BatchNorm(use_running_average=not train)(h),
    "spectral": lambda h, train: nn.SpectralNorm(nn.Dense(3))(h, update_stats=train),
}


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("num_samples", [1, 3])
def test_state_of_a_model_is_carried(name, num_samples):
    """As a loop by hand around Flax does it; over K draws the states are averaged."""
    module = Told(STATEFUL[name])
    trainer = make(module, num_samples=num_samples)
    state = trainer.init(KEY, X)
    assert jax.tree.leaves(state.model_state)
    after, metrics = jit(trainer.step)(state, X, KEY, HPARAMS)
    variables = {"params": state.params.model, **state.model_state}
    keys = jax.random.split(jax.random.fold_in(KEY, 0), num_samples)
    by_hand = [
        module.apply(variables, X, k, True, mutable=list(state.model_state))[1]
        for k in keys
    ]
    mean = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *by_hand)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
        after.model_state,
        mean,
    )
    changed = jax.tree.map(
        lambda a, b: bool((a != b).any()), after.model_state, state.model_state
    )
    assert all(jax.tree.leaves(changed))
    loss, _ = jit(trainer.loss)(
        state.params, X, jax.random.fold_in(KEY, 0), HPARAMS, state.model_state
    )
    np.testing.assert_allclose(loss, metrics["loss"], rtol=1e-6)


def test_state_is_evaluated_as_it_stands_and_trains_in_an_ensemble():
    module = Told(STATEFUL["batch"])
    trainer = make(module, ema_decay=0.5)
    members = vae_jax.ensemble(trainer)
    keys = jax.random.split(KEY, 2)
    states = jit(members.init)(keys, X)
    hparams = {name: jnp.stack([v, v]) for name, v in HPARAMS.items()}
    states, _ = jit(members.step)(states, X, keys, hparams)
    state = jax.tree.map(lambda leaf: leaf[1], states)
    found = vae_jax.evaluate(module, state.eval_variables, X, KEY, num_samples=2)
    again = vae_jax.evaluate(module, state.eval_variables, X[:2], KEY, num_samples=2)
    rows = [
        vae_jax.evaluate(module, state.eval_variables, X[i : i + 1], KEY, num_samples=2)
        for i in range(2)
    ]
    # With averages over batches an example depends on itself alone.
    each = np.mean([row["distortion"] for row in rows])
    np.testing.assert_allclose(again["distortion"], each, rtol=0.2)
    assert found["elbo"] is not None


def test_dropout_draws_in_training_only():
    module = Told(lambda h, train: nn.Dropout(0.5, deterministic=not train)(h))
    trainer = make(module)
    state = trainer.init(KEY, X)
    loss = jit(trainer.loss)
    losses = {
        float(loss(state.params, X, k, HPARAMS)[0]) for k in jax.random.split(KEY)
    }
    assert len(losses) == 2
    apply = vae_jax.model_functions(module).apply
    without = Model(lambda h, key: h)
    params = jax.tree.map(jnp.asarray, state.eval_params["Model_0"])
    jax.tree.map(
        np.testing.assert_array_equal,
        apply(state.eval_params, X, KEY),
        without.apply({"params": params}, X, KEY),
    )


def test_hparams_reach_a_model_that_takes_them():
    class Tempered(nn.Module):
        @nn.compact
        def __call__(self, x, key, hparams):
            return Model(lambda h, k: h * hparams["temperature"])(x, key)

    trainer = make(Tempered())
    state = trainer.init(KEY, X)
    step = jit(trainer.step)
    losses = [
        float(
            step(state, X, KEY, HPARAMS | vae_jax.make_hparams(temperature=t))[1][
                "loss"
            ]
        )
        for t in (0.1, 2.0)
    ]
    assert losses[0] != losses[1]
    with pytest.raises(ContractError, match="'temperature', which the model reads"):
        step(state, X, KEY, HPARAMS)
    with pytest.raises(ContractError, match="'temperature', which the model reads"):
        vae_jax.Trained.of(Tempered(), state.eval_variables)(X, KEY)
    functions = vae_jax.model_functions(Tempered(), {"temperature": 2.0})
    assert functions.apply(state.eval_params, X, KEY).log_lik(X).shape == (B,)


UNTOLD = {
    "batch": (
        lambda h, key: nn.BatchNorm(use_running_average=False)(h),
        "changes 'batch_stats' in evaluation.*use_running_average=not train",
    ),
    "dropout": (
        lambda h, key: nn.Dropout(0.5, deterministic=False)(h),
        "Dropout_0 draws in evaluation.*deterministic=not train",
    ),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_layers_that_do_not_know_of_evaluation_are_refused_there(name):
    layer, message = UNTOLD[name]
    module = Model(layer)
    trainer = make(module)
    state = jax.eval_shape(trainer.init, KEY, X)
    jax.eval_shape(trainer.step, state, X, KEY, HPARAMS)
    apply = vae_jax.model_functions(module).apply
    with pytest.raises(ContractError, match=message) as found:
        jax.eval_shape(apply, state.eval_variables, X, KEY)
    assert "\n" not in str(found.value)


class Sowing(nn.Module):
    @nn.compact
    def __call__(self, h):
        self.sow("intermediates", "h", h)
        return h


class Growing(nn.Module):
    @nn.compact
    def __call__(self, h):
        self.sow("mine", "h", h)
        return h


def test_layers_that_a_step_can_carry():
    for layer in (
        lambda h, key: nn.LayerNorm()(h),
        lambda h, key: nn.WeightNorm(nn.Dense(3))(h),
        lambda h, key: nn.Dropout(0.5, deterministic=False)(h, rng=key),
        lambda h, key: Sowing()(h),
    ):
        trainer = make(Model(layer))
        state = jax.eval_shape(trainer.init, KEY, X)
        jax.eval_shape(trainer.step, state, X, KEY, HPARAMS)


def test_a_state_that_grows_with_each_step_is_refused():
    trainer = make(Model(lambda h, key: Growing()(h)))
    with pytest.raises(ContractError, match="'mine' has another structure after a st"):
        jax.eval_shape(trainer.init, KEY, X)


def test_a_state_may_be_one_array():
    functions = vae_jax.model_functions(Model())

    def init(key, x):
        return functions.init(key, x), jnp.zeros(3)

    def apply(params, state, x, key, hparams, train):
        return functions.apply(params, x, key), state + train

    model = vae_jax.StatefulModel(init, apply)
    trainer = make(model)
    state, _ = jit(trainer.step)(trainer.init(KEY, X), X, KEY, HPARAMS)
    np.testing.assert_array_equal(state.eval_variables.model_state, np.ones(3))
    found = vae_jax.evaluate(model, state.eval_variables, X, KEY, num_samples=2)
    assert np.isfinite(found["elbo"])


@pytest.mark.parametrize("settings", [{"num_samples": 3}, {"axis_name": "data"}])
def test_keys_and_counts_of_a_state_stay_whole(settings):
    """Over several draws or places they are those of the first, not means."""
    functions = vae_jax.model_functions(Model())
    begin = {
        "key": jax.random.key(7),
        "raw": jax.random.PRNGKey(7),
        "count": jnp.int32(2**24),  # float32 has no number between it and the one after
        "flag": jnp.array(True),
        "mean": jnp.float32(1.0),
    }

    def after(state):
        state = {**state, "count": state["count"] + 1, "flag": ~state["flag"]}
        return {**state, **{n: jax.random.split(state[n])[0] for n in ("key", "raw")}}

    def apply(params, state, x, key, hparams, train):
        return functions.apply(params, x, key), after(state)

    def init(key, x):
        return functions.init(key, x), begin

    trainer = make(vae_jax.StatefulModel(init, apply), **settings)
    x, step = X, trainer.step
    state = jit(trainer.init)(KEY, X)
    if "axis_name" in settings:
        x = X.reshape(2, -1, X.shape[1])
        step = jax.vmap(step, (None, 0, None, None), axis_name="data")
    found = jit(step)(state, x, KEY, HPARAMS)[0].model_state
    if "axis_name" in settings:
        jax.tree.map(lambda leaf: np.testing.assert_array_equal(*leaf), data_of(found))
        found = jax.tree.map(lambda leaf: leaf[0], found)
    expected = after(begin)
    jax.tree.map(np.testing.assert_array_equal, data_of(found), data_of(expected))


def data_of(state):
    return {**state, "key": jax.random.key_data(state["key"])}


def test_batch_averages_go_through_remat():
    encoder = nn.remat(vae_jax.MLPEncoder, static_argnums=(2,))((4,), norm="batch")
    chain = vae_jax.Chain([encoder, vae_jax.posteriors.DiagonalNormalPosterior(2)])
    decoder = nn.Sequential(
        [vae_jax.MLPDecoder((5,), (4,)), vae_jax.likelihoods.BernoulliLikelihood()]
    )
    trainer = make(vae_jax.VAE(chain, vae_jax.priors.StandardNormal(2), decoder))
    state = jax.eval_shape(trainer.init, KEY, X)
    jax.eval_shape(trainer.step, state, X, KEY, HPARAMS)


# x as a pytree that is no dict.


class Pair(NamedTuple):
    image: object
    label: object


@struct.dataclass
class Record:
    image: object
    label: object


@struct.dataclass
class OfPairs(BaseDistribution):
    """A likelihood over pairs, of the caller's own."""

    image: Bernoulli
    make: object = struct.field(pytree_node=False)

    def sample(self, key):
        return self.make(self.image.sample(key), jnp.zeros(self.image.logits.shape[0]))

    def log_prob(self, x):
        return self.image.log_prob(jax.tree.leaves(x)[0])


@pytest.mark.parametrize("make_x", [Pair, Record, lambda *parts: parts])
def test_x_is_any_pytree(make_x):
    x = make_x(X, np.zeros(B, np.float32))
    own = vae_jax.model_functions(Model())

    def apply_to_pairs(params, x, key):
        output = own.apply(params, jax.tree.leaves(x)[0], key)
        return output.replace(likelihood=OfPairs(output.likelihood, make_x))

    def image_only(output, x, hparams):
        return vae_jax.elbo_loss(output, jax.tree.leaves(x)[0], hparams)

    def init(key, x):
        return jax.jit(own.init)(key, X)

    trainer = make(vae_jax.ModelFunctions(init, apply_to_pairs))
    state = jit(trainer.init)(KEY, x)
    loss = jit(trainer.step)(state, x, KEY, HPARAMS)[1]["loss"]
    alone = jit(make().step)(state, X, KEY, HPARAMS)[1]["loss"]
    np.testing.assert_allclose(loss, alone, rtol=1e-6)
    with pytest.raises(ContractError, match=r"x.* has the shape \(4, 3\)"):
        wrong = make_x(X[:, :3], np.zeros(B, np.float32))
        check_output(jax.eval_shape(apply_to_pairs, state.params.model, x, KEY), wrong)

    # The caller's objective may take one part of x, and the model another.
    def apply(params, x, key):
        return own.apply(params, jax.tree.leaves(x)[0], key)

    trainer = make(vae_jax.ModelFunctions(init, apply), image_only)
    trainer.init(KEY, x)  # not traced, so that values are looked at, too
    found = jit(trainer.step)(state, x, KEY, HPARAMS)[1]["loss"]
    np.testing.assert_allclose(found, alone, rtol=1e-6)
