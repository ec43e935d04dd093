"""The density of a flow: change of variables, total mass, moments and gradients."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.battery import FAST_COMPILE, random_params
from vae_jax.distributions.flows import CouplingFlow
from vae_jax.likelihoods import BernoulliLikelihood
from vae_jax.models.vae import VAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.objectives import bounds
from vae_jax.posteriors import CouplingFlowPosterior
from vae_jax.priors import StandardNormal
from vae_jax.training.functions import apply_samples, model_functions
from vae_jax.training.state import make_hparams

B = 4
jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)


@functools.cache
def make_flow(dim, num_layers=3):
    """A flow that bends a lot."""
    module = CouplingFlowPosterior(dim, num_layers, hidden_dim=6)

    @jit
    def make():
        features = 0.5 * jax.random.normal(jax.random.key(0), (B, 5))
        params = module.init(jax.random.key(1), features)["params"]
        shape = params["weights_out"].shape
        params["weights_out"] = 0.25 * jax.random.normal(jax.random.key(2), shape)
        return module.apply({"params": params}, features)

    return make()


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_density_is_the_change_of_variables(dim):
    flow = make_flow(dim)

    @jit
    def by_autodiff(flow):
        base_z = flow.base.sample(jax.random.key(3))
        jacobian = jax.jacrev(flow.push)(base_z)  # [B, D, B, D]
        own = jacobian[jnp.arange(B), :, jnp.arange(B)]
        density = flow.base.log_prob(base_z) - jnp.linalg.slogdet(own)[1]
        return flow.push(base_z), density, jacobian

    z, expected, jacobian = by_autodiff(flow)
    draw, log_prob = jit(
        lambda flow, z: (flow.sample(jax.random.key(3)), flow.log_prob(z))
    )(flow, z)
    np.testing.assert_allclose(draw, z, rtol=1e-6)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-4)
    # Examples don't mix.
    jacobian = np.asarray(jacobian).transpose(0, 2, 1, 3)
    assert np.all(jacobian[~np.eye(B, dtype=bool)] == 0)


def test_density_has_mass_one_and_the_moments_of_the_draws():
    flow = make_flow(2)
    axis = np.linspace(-25, 25, 400)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2)
    points = np.broadcast_to(np.float32(grid), (len(grid), B, 2))
    density = np.exp(np.float64(jax.jit(jax.vmap(flow.log_prob))(points)))
    area = (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(density.sum(axis=0) * area, 1.0, atol=2e-3)
    mean = (density[..., None] * points).sum(axis=0) * area
    second = (density[..., None] * points**2).sum(axis=0) * area
    std = np.sqrt(second - mean**2)
    assert np.all(np.abs(flow.mean - mean) < 5 * std / 8)  # 64 draws
    np.testing.assert_allclose(flow.variance, std**2, rtol=0.6)
    draws = jit(jax.vmap(flow.sample))(jax.random.split(jax.random.key(0), 20_000))
    error = std / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * error)


def test_moments_of_an_unbent_flow_are_those_of_its_base():
    flow = make_flow(3)
    flat = flow.replace(weights_out=jnp.zeros_like(flow.weights_out))
    np.testing.assert_allclose(flat.mean, flat.base.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(flat.variance, flat.base.variance, rtol=0.6)


def test_flow_is_a_posterior_of_a_vae():
    model = VAE(
        encoder=nn.Sequential([MLPEncoder((6,)), CouplingFlowPosterior(3, 2, 4)]),
        prior=StandardNormal(3),
        decoder=nn.Sequential([MLPDecoder((4, 4, 1), (6,)), BernoulliLikelihood()]),
    )
    functions = model_functions(model)
    x = jnp.round(jax.random.uniform(jax.random.key(0), (B, 4, 4, 1)))
    params = random_params(functions, x)
    posterior = jax.eval_shape(functions.apply, params, x, jax.random.key(2))
    assert isinstance(posterior.latents[0].posterior, CouplingFlow)

    def gradient(objective):
        def loss(params):
            output = apply_samples(functions.apply, params, x, jax.random.key(2), 6)
            return objective(output, x, make_hparams())[0]

        return jit(jax.value_and_grad(loss))(params)

    loss, grads = gradient(bounds.elbo_mc)
    stl_loss, stl_grads = gradient(bounds.stl)
    np.testing.assert_allclose(loss, stl_loss, rtol=1e-6)
    for leaf in jax.tree.leaves((grads, stl_grads)):
        assert np.all(np.isfinite(leaf)) and np.any(np.asarray(leaf) != 0)
