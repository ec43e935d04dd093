"""`vae_jax.evaluate` outside and inside of JAX's transformations."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax
from vae_jax.distributions import DiagonalNormal
from vae_jax.outputs import Latent, VAEOutput

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (7, 3))
SIZES = {"num_samples": 4, "batch_size": 3, "sample_chunk": 2}
TRACES = []


class Small(nn.Module):
    """One linear map each way."""

    @nn.compact
    def __call__(self, x, key):
        TRACES.append(x.shape)
        mean = nn.Dense(2, name="encoder")(x)
        q = DiagonalNormal(mean, jnp.zeros_like(mean))
        z = q.sample(key)
        latent = Latent(z=z, posterior=q, prior=DiagonalNormal.standard_like(z))
        mean = nn.Dense(3, name="decoder")(z)
        return VAEOutput(DiagonalNormal(mean, jnp.zeros_like(mean)), (latent,))


class Scaled(nn.Module):
    """The same with its codes multiplied by a hyperparameter."""

    @nn.compact
    def __call__(self, x, key, hparams):
        TRACES.append(x.shape)
        output = Small(name="small")(x, key)
        mean = output.likelihood.mean * hparams["scale"]
        return output.replace(likelihood=output.likelihood.replace(mean=mean))


def params_of(seed):
    return jax.jit(Small().init)(jax.random.key(seed), X, KEY)["params"]


def evaluate(params):
    return vae_jax.evaluate(Small(), params, np.asarray(X), KEY, **SIZES)


def test_floats_outside_and_the_same_arrays_inside_jit_and_vmap():
    members = [params_of(seed) for seed in range(2)]
    alone = [evaluate(params) for params in members]
    assert all(isinstance(v, float | int) or v is None for v in alone[0].values())
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    together = jax.jit(jax.vmap(evaluate))(stacked)
    jitted = jax.jit(evaluate)(members[0])
    assert together.keys() == jitted.keys() == alone[0].keys()
    for name, values in together.items():
        if values is None:
            assert alone[0][name] is jitted[name] is None
            continue
        for m, numbers in enumerate(alone):
            assert values[m] == pytest.approx(numbers[name], rel=1e-4, abs=1e-5)
        assert jitted[name] == pytest.approx(alone[0][name], rel=1e-4, abs=1e-5)


class Listed(Small):
    """The same with a field that has no hash, as the layers of `nn.Sequential`."""

    sizes: list[int] = dataclasses.field(default_factory=lambda: [1, 2])


@pytest.mark.parametrize("make", [Small, Listed])
@pytest.mark.parametrize("hparams", [None, {"unread": 1.0}])
def test_equal_modules_and_other_parameters_compile_nothing_again(make, hparams):
    def evaluate_one(seed):
        model, params = make(), params_of(seed)
        vae_jax.evaluate(model, params, X, KEY, hparams=hparams, **SIZES)

    evaluate_one(0)
    before = len(TRACES)
    evaluate_one(1)
    assert len(TRACES) - before <= 1  # the shapes of the output, without a compilation


def test_hparams_of_a_model_that_takes_them():
    params = {"small": params_of(0)}

    def scaled(scale):
        hparams = vae_jax.make_hparams(scale=scale)
        return vae_jax.evaluate(Scaled(), params, X, KEY, hparams=hparams, **SIZES)

    expected = evaluate(params["small"])
    assert scaled(1.0)["elbo"] == pytest.approx(expected["elbo"], rel=1e-5)
    before = len(TRACES)
    assert scaled(2.0)["elbo"] != pytest.approx(expected["elbo"], rel=1e-2)
    assert len(TRACES) - before <= 2  # Scaled and Small, for the shapes
