"""Parts of a user's own: the KL of a new pair, codes with a spatial form."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import vae_jax
from tests.battery import FAST_COMPILE
from vae_jax.distributions import (
    BaseDistribution,
    Bernoulli,
    DiagonalNormal,
    kl_divergence,
    register_kl,
)
from vae_jax.errors import ContractError

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
KEY = jax.random.key(0)


@struct.dataclass
class Exponential(BaseDistribution):
    """p(z) = rate exp(-rate z), z > 0."""

    rate: jax.Array  # [B, D]

    @property
    def mean(self):
        return 1 / self.rate

    @property
    def variance(self):
        return 1 / self.rate**2

    def sample(self, key):
        return jax.random.exponential(key, self.rate.shape) / self.rate

    def log_prob(self, x):
        return (jnp.log(self.rate) - self.rate * x).sum(axis=1)


@register_kl(Exponential, Exponential)
def exponential_kl(q, p):
    return jnp.log(q.rate / p.rate) + p.rate / q.rate - 1


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, key):
        q = Exponential(nn.softplus(nn.Dense(2)(x)) + 0.1)
        z = q.sample(key)
        latent = vae_jax.Latent(z=z, posterior=q, prior=Exponential(jnp.ones_like(z)))
        return vae_jax.VAEOutput(Bernoulli(nn.Dense(x.shape[1])(z)), (latent,))


def test_a_registered_pair_is_the_rate_of_a_model():
    x = np.float32(np.random.default_rng(0).integers(0, 2, (4, 5)))
    functions = vae_jax.model_functions(Model())
    params = jit(functions.init)(KEY, x)

    @jit
    def rate_and_kl_and_ratios(params):
        output = functions.apply(params, x, KEY)
        q, p = output.latents[0].posterior, output.latents[0].prior
        assert output.latents[0].has_closed_form_kl
        draws = jax.vmap(q.sample)(jax.random.split(KEY, 40_000))
        ratios = jax.vmap(lambda z: q.log_prob(z) - p.log_prob(z))(draws)
        return output.rate(), exponential_kl(q, p).sum(1), ratios

    rate, kl, ratios = map(np.float64, rate_and_kl_and_ratios(params))
    np.testing.assert_allclose(rate, kl, rtol=1e-6)
    # Against the mean of log q - log p over many draws.
    error = ratios.std(axis=0) / 200
    assert (np.abs(ratios.mean(axis=0) - rate) < 5 * error).all()
    found = vae_jax.evaluate(Model(), params, x, KEY, num_samples=20)
    np.testing.assert_allclose(found["rate"], rate.mean(), rtol=1e-5)


def test_pairs_that_are_not_or_twice_registered():
    normal = DiagonalNormal.standard_like(jnp.zeros((2, 2)))
    with pytest.raises(TypeError, match=r"KL\(Exponential, DiagonalNormal\): register"):
        kl_divergence(Exponential(jnp.ones((2, 2))), normal)
    with pytest.raises(ContractError, match="is registered already"):
        register_kl(Exponential, Exponential)(exponential_kl)

    class Shifted(Exponential):
        """A class that inherits uses the pair of its parents."""

    q = Shifted(2 * jnp.ones((2, 2)))
    np.testing.assert_array_equal(kl_divergence(q, q), np.zeros((2, 2)))


class Spatial(nn.Module):
    """Codes [B, 2, 2, 3], and the same numbers as codes [B, 12] if `flat`."""

    flat: bool

    @nn.compact
    def __call__(self, x, key):
        h = nn.Dense(24)(x.reshape(x.shape[0], -1))
        mean, log_std = jnp.split(h, 2, axis=1)
        shape = (-1, 12) if self.flat else (-1, 2, 2, 3)
        q = DiagonalNormal(mean.reshape(shape), 0.1 * log_std.reshape(shape))
        z = q.mean + q.std * jax.random.normal(key, (x.shape[0], 12)).reshape(shape)
        latent = vae_jax.Latent(z, q, DiagonalNormal.standard_like(z))
        logits = nn.Dense(4)(z.reshape(-1, 12)).reshape(x.shape)
        return vae_jax.VAEOutput(Bernoulli(logits), (latent,))


def test_codes_with_a_spatial_form_are_those_without():
    x = np.float32(np.random.default_rng(0).integers(0, 2, (3, 2, 2, 1)))
    hparams = vae_jax.make_hparams(kl_weight=2.0)
    found = []
    for flat in (False, True):
        model = Spatial(flat)
        for objective in (vae_jax.elbo_loss, vae_jax.bounds.iwae):
            trainer = vae_jax.vae_trainer(
                model, objective, vae_jax.scale_by_hparam("kl_weight"), num_samples=2
            )
            state = jit(trainer.init)(KEY, x)
            found.append(jit(trainer.loss)(state.params, x, KEY, hparams)[0])
        numbers = vae_jax.evaluate(model, state.eval_params, x, KEY, num_samples=3)
        found += [v for v in numbers.values() if v is not None]
    half = len(found) // 2
    np.testing.assert_allclose(found[:half], found[half:], rtol=1e-4)


def test_a_method_of_one_draw_refuses_the_sample_axis_of_spatial_codes():
    x = np.ones((3, 2, 2, 1), np.float32)
    functions = vae_jax.model_functions(Spatial(False))

    def forgets_the_axis(output, x, hparams):
        return output.rate().mean(), {}

    trainer = vae_jax.vae_trainer(
        Spatial(False), forgets_the_axis, vae_jax.scale_by_hparam("kl_weight")
    )
    state = jax.eval_shape(trainer.init, KEY, x)
    with pytest.raises(
        ContractError, match=r"rate\(\) of an output with a sample axis"
    ):
        jax.eval_shape(
            trainer.loss, state.params, x, KEY, vae_jax.make_hparams(kl_weight=1.0)
        )
    rate = jax.eval_shape(
        lambda: functions.apply(functions.init(KEY, x), x, KEY).rate()
    )
    assert rate.shape == (3,)
