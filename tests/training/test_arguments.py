"""What a user may get wrong in a train step: each one line that says what to write."""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx, struct

import vae_jax
from tests.battery import FAST_COMPILE
from vae_jax import bounds, schedules
from vae_jax.distributions import Bernoulli, DiagonalNormal
from vae_jax.errors import ConfigError, ContractError
from vae_jax.training.checks import check_output

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
B, E, D = 4, 5, 2
KEY = jax.random.key(0)
X = np.asarray(np.random.default_rng(0).integers(0, 2, (B, E)), np.float32)
HPARAMS = vae_jax.make_hparams(kl_weight=1.0)
TX = optax.sgd(0.1)


class Model(nn.Module):
    """With a layer of the caller's between the code and the logits."""

    layer: object = None

    @nn.compact
    def __call__(self, x, key):
        posterior = vae_jax.posteriors.DiagonalNormalPosterior(D)(x)
        z = posterior.sample(key)
        prior = DiagonalNormal(jnp.zeros_like(z), jnp.zeros_like(z))
        h = z if self.layer is None else self.layer(z, key)
        latent = vae_jax.Latent(z=z, posterior=posterior, prior=prior)
        return vae_jax.VAEOutput(Bernoulli(nn.Dense(E)(h)), (latent,))


class Transformed(NamedTuple):
    """What Haiku makes of a function."""

    init: object
    apply: object


class NNXModel(nnx.Module):
    pass


def make(model=None, objective=vae_jax.elbo, tx=TX, **options):
    return vae_jax.vae_trainer(
        Model() if model is None else model, objective, tx, **options
    )


def step_of(objective=vae_jax.elbo, hparams=HPARAMS, x=X, **options):
    """One step, traced only."""
    trainer = make(objective=objective, **options)
    state = jax.eval_shape(trainer.init, KEY, x)
    return jax.eval_shape(trainer.step, state, x, KEY, hparams)


ARGUMENTS = {
    "number for tx": ({"tx": 1e-3}, r"tx is 0.001: .*write optax.adam\(0.001\)"),
    "optax.adam": ({"tx": optax.adam}, r"function adam: .*call it, as in optax.adam\("),
    "MultiSteps": ({"tx": optax.MultiSteps}, "tx is the class MultiSteps"),
    "no tx": ({"tx": None}, "tx is None: .*optax transformation"),
    "swapped": ({"objective": TX, "tx": vae_jax.elbo}, r"\(model, objective, tx\)"),
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
    for objective in (vae_jax.elbo, bounds.renyi(0.5), functools.partial(vae_jax.elbo)):
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


# Names of hparams.

WARM_UP = {"schedule": schedules.scale("kl_weight", schedules.linear)}
BY_RATE = {"tx": vae_jax.scale_by_hparam()}
NAMES = {
    "nothing": (
        {},
        {},
        r"no 'kl_weight', which the objective reads.*\(kl_weight=1.0\)",
    ),
    "misspelt": ({"kl_wieght": 1.0}, {}, "no 'kl_weight'.* There is kl_wieght"),
    "for the schedule": ({}, WARM_UP, "no 'kl_weight', which the schedule reads"),
    "for the optimiser": (
        {"kl_weight": 1.0},
        BY_RATE,
        "no 'learning_rate', which the optimiser reads",
    ),
    "nearly free_nats": (
        {"kl_weight": 1.0, "free_nat": 9.0},
        {},
        r"'free_nat', which nothing reads: did you mean 'free_nats'\? \(read: free_n",
    ),
    "no schedule": (
        {"kl_weight": 1.0, "warmup_steps": 9},
        {},
        "'warmup_steps', which nothing reads: a schedule reads it, such as",
    ),
    "no scale_by_hparam": (
        {"kl_weight": 1.0, "learning_rate": 9},
        {},
        "'learning_rate', which nothing reads: vae_jax.scale_by_hparam",
    ),
    "under a schedule": (
        {"kl_weight": 1.0, "warmup_steps": 9, "gamma": 1.0},
        WARM_UP,
        r"'gamma', which nothing reads: leave it out",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_hparams_that_are_missing_or_read_by_nothing(name):
    values, options, message = NAMES[name]
    with pytest.raises(ContractError, match=message) as found:
        step_of(hparams=vae_jax.make_hparams(**values), **options)
    assert "\n" not in str(found.value)


def test_hparams_that_are_no_dict():
    for hparams in (None, jnp.ones(()), [1.0]):
        with pytest.raises(ContractError, match=r"hparams is of type .*make_hparams\("):
            step_of(hparams=hparams)
    with pytest.raises(ContractError, match="what the schedule returned is of type"):
        step_of(schedule=lambda step, hparams: 0.5)


def test_all_ways_to_read_hparams_count():
    """What is copied whole may be read out of sight, so it is never complained of."""
    hparams = vae_jax.make_hparams(kl_weight=1.0, mine=2.0)

    def objective(change):
        return lambda output, x, h: vae_jax.elbo(output, x, change(h))

    @jax.jit
    def through_jit(h):
        return {"kl_weight": h["kl_weight"] * h["mine"]}

    for change in (
        lambda h: h | {"kl_weight": h["mine"]},
        lambda h: {**h, "kl_weight": h["kl_weight"]},
        dict,
        lambda h: dict(h.items()),
        lambda h: {"kl_weight": sum(h.values())},
        lambda h: {"kl_weight": sum(h[name] for name in h)},
        lambda h: {"kl_weight": h["kl_weight"] * h.get("mine")},
        lambda h: {"kl_weight": 2 * h["kl_weight"]} if "mine" in h else h,
        lambda h: jax.tree.map(jnp.sqrt, h),
        through_jit,
    ):
        step_of(objective(change), hparams)
        step_of(schedule=lambda step, h, change=change: change(h), hparams=hparams)
    for silent in (lambda h: h | {}, lambda h: h.copy()):
        with pytest.raises(ContractError, match="'mine', which nothing reads"):
            step_of(objective(silent), hparams)


def test_metrics_may_not_be_called_loss():
    def objective(output, x, hparams):
        loss, _ = vae_jax.elbo(output, x, hparams)
        return loss, {"loss": 2 * loss}

    with pytest.raises(ContractError, match="metrics have the name 'loss'"):
        step_of(objective)


# What a Flax module may hold that a step does not carry.

LAYERS = {
    "batch": (
        lambda h, key: nn.BatchNorm(use_running_average=False)(h),
        "keeps 'batch_stats' .*LayerNorm or GroupNorm",
    ),
    "spectral": (
        lambda h, key: nn.SpectralNorm(nn.Dense(3))(h, update_stats=True),
        "keeps variables beside .*WeightNorm in that of SpectralNorm",
    ),
    "dropout": (
        lambda h, key: nn.Dropout(0.5, deterministic=False)(h),
        r"Dropout_0 asks for the random stream 'dropout'.*Dropout\(.*rng=dropout_key",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_keep_more_than_parameters(name):
    layer, message = LAYERS[name]
    trainer = make(Model(layer))
    with pytest.raises(ContractError, match=message) as found:
        jax.eval_shape(trainer.init, KEY, X)
    assert "\n" not in str(found.value)


class Sowing(nn.Module):
    @nn.compact
    def __call__(self, h):
        self.sow("intermediates", "h", h)
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


# x as a pytree that is no dict.


class Pair(NamedTuple):
    image: object
    label: object


@struct.dataclass
class Record:
    image: object
    label: object


@struct.dataclass
class OfPairs:
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
        return vae_jax.elbo(output, jax.tree.leaves(x)[0], hparams)

    def init(key, x):
        return jax.jit(own.init)(key, X)

    trainer = make(vae_jax.ModelFunctions(init, apply_to_pairs))
    state = jit(trainer.init)(KEY, x)
    loss = jit(trainer.step)(state, x, KEY, HPARAMS)[1]["loss"]
    alone = jit(make().step)(state, X, KEY, HPARAMS)[1]["loss"]
    np.testing.assert_allclose(loss, alone, rtol=1e-6)
    with pytest.raises(ContractError, match=r"x.* has the shape \(4, 3\)"):
        wrong = make_x(X[:, :3], np.zeros(B, np.float32))
        check_output(jax.eval_shape(apply_to_pairs, state.params, x, KEY), wrong)

    # The caller's objective may take one part of x, and the model another.
    def apply(params, x, key):
        return own.apply(params, jax.tree.leaves(x)[0], key)

    trainer = make(vae_jax.ModelFunctions(init, apply), image_only)
    trainer.init(KEY, x)  # not traced, so that values are looked at, too
    found = jit(trainer.step)(state, x, KEY, HPARAMS)[1]["loss"]
    np.testing.assert_allclose(found, alone, rtol=1e-6)
