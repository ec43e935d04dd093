"""Bad input at the public doors: one error of a known type that says what to change."""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

import vae_jax
from tests.battery import FAST_COMPILE
from vae_jax import likelihoods as lik
from vae_jax.distributions import (
    BaseDistribution,
    Bernoulli,
    DiagonalNormal,
    OptimalNormal,
    register_kl,
    tabular,
)
from vae_jax.errors import ContractError, DataError, VAEJaxError

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
B, SHAPE, D = 6, (4, 3, 1), 2
KEY = jax.random.key(0)
X = np.zeros((B, *SHAPE), np.float32)
HPARAMS = vae_jax.make_hparams(kl_weight=1.0)


def make_model(shape=SHAPE, prior_dim=D, likelihood=None):
    return vae_jax.VAE(
        encoder=nn.Sequential(
            [vae_jax.MLPEncoder((3,)), vae_jax.posteriors.DiagonalNormalPosterior(D)]
        ),
        prior=vae_jax.priors.StandardNormal(prior_dim),
        decoder=nn.Sequential(
            [
                vae_jax.MLPDecoder(shape, (3,)),
                likelihood or lik.BernoulliLikelihood(),
            ]
        ),
    )


def trainer_of(model, objective=vae_jax.elbo_loss):
    return vae_jax.vae_trainer(model, objective, optax.sgd(0.1))


def doors(model):
    """Every public function that is given a model and data, as calls without them."""
    functions = vae_jax.model_functions(model)
    trainer = trainer_of(model)
    many = vae_jax.ensemble(trainer)

    def of_params(call):
        # Shapes alone: the parameters come from a program that is only traced.
        return lambda x: jax.eval_shape(call, jax.eval_shape(functions.init, KEY, x), x)

    def step(params, x):
        step = jnp.zeros((), jnp.int32)
        learned = vae_jax.Learned(params, {})
        state = vae_jax.TrainState(step, learned, optax.EmptyState())
        return trainer.step(state, x, KEY, HPARAMS)

    return {
        "init": lambda x: trainer.init(KEY, x),
        "init traced": lambda x: jax.eval_shape(trainer.init, KEY, x),
        "step": of_params(step),
        "ensemble": lambda x: many.init(jax.random.split(KEY, 2), x),
        "evaluate": lambda x: vae_jax.evaluate(model, params_of(model), x, KEY),
        "statistics": of_params(
            lambda params, x: vae_jax.importance_statistics(
                functions.apply, params, x, KEY, 2
            )
        ),
    }


def params_of(model):
    """Zeros in the shapes of a model's parameters: nothing is compiled for them."""
    shapes = jax.eval_shape(vae_jax.model_functions(model).init, KEY, X)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


DOORS = ["init", "init traced", "step", "ensemble", "evaluate", "statistics"]


def shapes_of_decoders(door, *shapes):
    for shape in shapes:
        with pytest.raises(ContractError) as found:
            doors(make_model(shape))[door](X)
        assert str((B, *shape)) in str(found.value)
        assert "output_shape=(4, 3, 1)" in str(found.value)


def sizes_of_priors(door, *sizes):
    for size in sizes:
        with pytest.raises(ContractError, match="latent_dim") as found:
            doors(make_model(prior_dim=size))[door](X)
        assert "(6, 2)" in str(found.value) and f"(6, {size})" in str(found.value)


def test_decoder_of_another_shape_than_the_data():
    """(4, 1, 1) and (1,) would broadcast, (12,) would be reshaped, without a word."""
    shapes_of_decoders("init traced", (4, 3, 3), (4, 3), (1,), (12,), (4, 1, 1))


def test_latent_size_that_is_not_the_priors():
    """A prior of one dimension would broadcast."""
    sizes_of_priors("init traced", 1, 3)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_asks_for_the_shapes(door):
    shapes_of_decoders(door, (4, 1, 1))
    sizes_of_priors(door, 1)


BAD_VALUES = {
    "bernoulli": (lik.BernoulliLikelihood(), 0.5, "0 or 1: binarise"),
    "bernoulli, not scaled": (lik.BernoulliLikelihood(), 255.0, "0 or 1"),
    "continuous": (lik.ContinuousBernoulliLikelihood(), 1.5, r"in \[0, 1\]: scale"),
    "negative": (lik.ContinuousBernoulliLikelihood(), -0.1, r"in \[0, 1\]"),
    "normal": (lik.NormalLikelihood(), np.nan, "finite: drop"),
    "8bit": (lik.LogisticLikelihood(), 0.3, "multiples of 1/255"),
    "count": (lik.NegativeBinomialLikelihood(), -1.0, "0, 1, 2, ...: don't scale"),
    "half a count": (lik.NegativeBinomialLikelihood(), 0.5, "0, 1, 2, ..."),
}


def values_outside(name, door):
    likelihood, value, message = BAD_VALUES[name]
    x = X.copy()
    x[2, 1, 0, 0] = value
    features = likelihood.num_features(1)
    call = doors(make_model((4, 3, features), likelihood=likelihood))[door]
    with pytest.raises(DataError, match=message) as found:
        call(x)
    assert str(found.value).startswith(f"x[2, 1, 0, 0] is {x[2, 1, 0, 0]}")


@pytest.mark.parametrize("name", BAD_VALUES)
def test_values_outside_the_support(name):
    values_outside(name, "init")


@pytest.mark.parametrize("door", ["ensemble", "evaluate"])
def test_every_door_that_sees_values_asks_for_the_support(door):
    values_outside("8bit", door)


def test_what_is_in_the_support_passes():
    eight_bit = (np.arange(B * 12) % 256 / 255).astype(np.float32).reshape(X.shape)
    for likelihood, x in (
        (lik.BernoulliLikelihood(), np.round(eight_bit)),
        (lik.BernoulliLikelihood(), X.astype(bool)),
        (lik.ContinuousBernoulliLikelihood(), eight_bit),
        (lik.NormalLikelihood(), 7 * eight_bit),
        (lik.LogisticLikelihood(), eight_bit),
        (lik.NegativeBinomialLikelihood(), np.round(9 * eight_bit)),
    ):
        model = make_model((4, 3, likelihood.num_features(1)), likelihood=likelihood)
        trainer_of(model).init(KEY, x)


def test_support_of_parts_is_checked_where_they_are_observed():
    value = np.asarray([[0.0, np.nan], [3.0, 7.0]])
    observed = np.asarray([[True, False], [True, True]])
    p = tabular.Product(
        {
            "count": tabular.Masked(
                tabular.NegativeBinomial(jnp.zeros((2, 2)), jnp.zeros((2, 2)))
            ),
            "class": tabular.Categorical(jnp.zeros((2, 1, 3))),
        }
    )
    x = {
        "count": {"value": value, "observed": observed},
        "class": np.asarray([[0], [2]]),
    }
    vae_jax.check_support(p, x)
    with pytest.raises(DataError, match=r"x\['class'\]\[1, 0\] is 3.*0, \.\.\., 2"):
        vae_jax.check_support(p, {**x, "class": np.asarray([[0], [3]])})
    seen = {"value": value, "observed": np.ones((2, 2), bool)}
    with pytest.raises(DataError, match=r"x\['count'\]\['value'\]\[0, 1\] is nan"):
        vae_jax.check_support(p, {**x, "count": seen})


def test_traced_values_are_passed_over():
    checked = jit(lambda x: vae_jax.check_support(Bernoulli(x), x) or x)
    checked(jnp.full((2, 3), 0.5))


def elbo_of(result):
    """An objective whose result is changed by a function."""
    return lambda output, x, hparams: result(*vae_jax.elbo_loss(output, x, hparams))


BAD_OBJECTIVES = {
    "metrics only": (lambda loss, metrics: metrics, r"a dict of .* \(loss, metrics\)"),
    "nothing": (lambda loss, metrics: None, "NoneType"),
    "loss only": (lambda loss, metrics: loss, r"return \(loss, metrics\)"),
    "three": (lambda loss, metrics: (loss, metrics, 1), "a tuple of 3"),
    "vector": (lambda loss, metrics: (loss[None], metrics), r"shape \(1,\).*mean"),
    "number": (lambda loss, metrics: (1.0, metrics), "loss is float"),
    "integer": (lambda loss, metrics: (loss.astype(int), metrics), "floating-point"),
    "swapped": (lambda loss, metrics: (metrics, loss), "loss is a dict"),
    "no dict": (lambda loss, metrics: (loss, loss), "metrics are an array"),
}


@pytest.mark.parametrize("name", BAD_OBJECTIVES)
def test_objective_that_returns_the_wrong_thing(name):
    change, message = BAD_OBJECTIVES[name]
    trainer = trainer_of(make_model(), elbo_of(change))
    state = jax.eval_shape(trainer.init, KEY, X)
    with pytest.raises(ContractError, match=message):
        jax.eval_shape(trainer.step, state, X, KEY, HPARAMS)


@struct.dataclass
class Silent:
    """A likelihood that does not inherit the facts about distributions."""

    def log_prob(self, x):
        return x.sum(axis=(1, 2, 3))


class Returned(NamedTuple):
    """What a model makes of a good output, and what the error says."""

    change: object
    message: str


BAD_OUTPUTS = {
    "tuple": Returned(
        lambda out: (out.likelihood, out.latents), r"a tuple of 2.*VAEOutput"
    ),
    "latent alone": Returned(
        lambda out: out.replace(latents=out.latents[0]), r"\(latent,\) for one layer"
    ),
    "no latents": Returned(lambda out: out.replace(latents=()), "one vae_jax.Latent"),
    "bare code": Returned(
        lambda out: out.replace(latents=(out.latents[0].z,)), "layer 1 is an array"
    ),
    "code of another form": Returned(
        lambda out: out.replace(
            latents=(out.latents[0].replace(z=jnp.zeros((B, 2, 2))),)
        ),
        r"\(6, 2, 2\), but the posterior is for codes of shape \(6, 2\)",
    ),
    "code without a batch": Returned(
        lambda out: out.replace(latents=(out.latents[0].replace(z=jnp.zeros(B)),)),
        r"\(6,\): it must be \[B, D\]",
    ),
    "distribution that says nothing of itself": Returned(
        lambda out: out.replace(likelihood=Silent()),
        "the likelihood is of type Silent, which has no 'support': .*BaseDistribution",
    ),
    "second layer": Returned(
        lambda out: out.replace(
            latents=(
                out.latents[0],
                out.latents[0].replace(
                    prior=DiagonalNormal(jnp.zeros((B, 1)), jnp.zeros((B, 1)))
                ),
            )
        ),
        "layer 2.*the prior",
    ),
    "array for a dict": Returned(
        lambda out: out.replace(likelihood=tabular.Product({"a": out.likelihood})),
        r"x is an array .* dict of \['a'\]",
    ),
}


@pytest.mark.parametrize("name", BAD_OUTPUTS)
def test_model_that_returns_the_wrong_thing(name):
    functions = vae_jax.model_functions(make_model())

    def apply(params, x, key):
        return BAD_OUTPUTS[name].change(functions.apply(params, x, key))

    model = vae_jax.ModelFunctions(functions.init, apply)
    with pytest.raises(ContractError, match=BAD_OUTPUTS[name].message):
        jax.eval_shape(trainer_of(model).init, KEY, X)


def test_part_that_the_data_do_not_have():
    functions = vae_jax.model_functions(make_model())

    def apply(params, x, key):
        output = functions.apply(params, x["image"], key)
        return output.replace(likelihood=tabular.Product({"imgae": output.likelihood}))

    model = vae_jax.ModelFunctions(lambda key, x: functions.init(key, X), apply)
    x = {"image": X, "label": np.zeros(B)}
    with pytest.raises(ContractError, match=r"no part 'imgae'.*\['image', 'label'\]"):
        jax.eval_shape(trainer_of(model).init, KEY, x)


def test_likelihoods_without_draws_are_checked_by_their_mean_or_not_at_all():
    """The optimal normal can't be drawn from; one of the caller's own need not be."""
    model = make_model((4, 3, 3), likelihood=lik.NormalLikelihood("optimal"))
    with pytest.raises(ContractError, match="output_shape"):
        jax.eval_shape(trainer_of(model).init, KEY, X)
    assert not OptimalNormal.normalized

    functions = vae_jax.model_functions(make_model())

    @struct.dataclass
    class Own(BaseDistribution):
        def log_prob(self, x):
            return -(x**2).sum(axis=(1, 2, 3))

    def apply(params, x, key):
        return functions.apply(params, x, key).replace(likelihood=Own())

    trainer = trainer_of(vae_jax.ModelFunctions(functions.init, apply))
    state = trainer.init(KEY, X + 0.5)
    _, metrics = jit(trainer.step)(state, X + 0.5, KEY, HPARAMS)
    assert metrics["distortion"] == pytest.approx(12 * 0.25)


def test_a_log_density_has_one_number_for_each_row():
    """A sum over the batch, or none, would train, with another weight of the KL."""
    functions = vae_jax.model_functions(make_model())

    @struct.dataclass
    class Own(Bernoulli):
        sums: int = struct.field(pytree_node=False, default=1)

        def log_prob(self, x):
            whole = super().log_prob(x)
            return {0: x.sum((1, 2)), 1: whole, 2: whole.sum()}[self.sums]

    def trainer(sums):
        def apply(params, x, key):
            output = functions.apply(params, x, key)
            own = Own(output.likelihood.logits, sums)
            return output.replace(likelihood=own)

        return trainer_of(vae_jax.ModelFunctions(functions.init, apply))

    jax.eval_shape(trainer(1).init, KEY, X)
    for sums, shape in ((0, r"\(6, 1\)"), (2, r"\(\)")):
        message = f"the likelihood: log_prob of Own is an array of shape {shape} for 6"
        with pytest.raises(ContractError, match=message):
            jax.eval_shape(trainer(sums).init, KEY, X)


def test_a_kl_of_ones_own_has_the_rows_of_the_code():
    @struct.dataclass
    class Own(DiagonalNormal):
        pass

    register_kl(Own, Own)(lambda q, p: (q.mean - p.mean).sum())
    z = jnp.zeros((B, D))
    with pytest.raises(ContractError, match=r"Own to Own has the shape \(\) for 6"):
        vae_jax.Latent(z, Own(z, z), Own(z, z)).kl()


def test_nothing_of_the_checks_is_left_in_the_compiled_step(monkeypatch):
    def compiled():
        trainer = trainer_of(make_model())
        state = jax.eval_shape(trainer.init, KEY, X)
        return str(jax.make_jaxpr(trainer.step)(state, X, KEY, HPARAMS))

    checked = compiled()
    for name in ("check_output", "check_support"):
        monkeypatch.setattr(f"vae_jax.training.step.{name}", lambda *_: None)
    monkeypatch.setattr("vae_jax.training.step.check_objective", lambda result: result)
    assert compiled() == checked


def test_no_data():
    model = make_model()
    params = vae_jax.model_functions(model).init(KEY, X)
    with pytest.raises(DataError, match="no examples"):
        vae_jax.evaluate(model, params, X[:0], KEY)


def test_all_are_errors_that_a_program_prints_as_one_line():
    for error in (ContractError, DataError):
        assert issubclass(error, VAEJaxError) and issubclass(error, ValueError)
