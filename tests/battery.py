"""The table of all variants, and what `test_battery.py` computes for each.

To have a new model, likelihood, prior or objective checked, add a line to `MODELS` or
`OBJECTIVES`; every test of the battery then runs on it. Shapes are tiny: the battery is
about mistakes in axes and gradients, which don't need more.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import keystr

from vae_jax import likelihoods as lik
from vae_jax.models.vae import VAE
from vae_jax.networks.conv import ConvDecoder, ConvEncoder
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.objectives import elbo
from vae_jax.posteriors import DeterministicPosterior, DiagonalNormalPosterior
from vae_jax.priors import StandardNormal
from vae_jax.training.functions import ModelFunctions, apply_samples, model_functions
from vae_jax.training.state import make_hparams
from vae_jax.types import Array, Hparams, Params

B, K, LATENT_DIM = 3, 2, 2
H, W, C = 4, 3, 2  # all different, so that mixed-up axes show

# Nothing here runs long: unoptimised code compiles four times as fast.
FAST_COMPILE = {
    "xla_backend_optimization_level": 0,
}


def images(support: str) -> Array:
    """A batch [B, H, W, C] of random pixels of that support."""
    u = jax.random.uniform(jax.random.key(0), (B, H, W, C))
    if support == "binary":
        return jnp.round(u)
    return jnp.round(u * 255) / 255 if support == "8bit" else u


@dataclasses.dataclass(frozen=True)
class Model:
    """One line of the table.

    Attributes:
        build: gives the module.
        support: of its likelihood, which decides on the images it is given.
        has_density: False for an autoencoder, which has no bound.
        rate_only: beginnings of the paths of parameters that only the rate depends on,
            such as those of a learned prior.
        independent: False if examples are meant to influence each other.
    """

    build: Callable[[], nn.Module]
    support: str = "unit"
    has_density: bool = True
    rate_only: tuple[str, ...] = ()
    independent: bool = True


@dataclasses.dataclass(frozen=True)
class ObjectiveCase:
    """An objective with its numbers; `needs_density` if it is no loss for a point."""

    objective: Any
    hparams: Hparams
    needs_density: bool = False


def mlp(features: int) -> tuple[nn.Module, nn.Module]:
    return MLPEncoder((6,)), MLPDecoder((H, W, features), (6,))


def conv(features: int) -> tuple[nn.Module, nn.Module]:
    decoder = ConvDecoder((H, W, features), channels=(4, 3), hidden_dim=6)
    return ConvEncoder((3, 4), 6), decoder


NETWORKS = {"mlp": mlp, "conv": conv}

LIKELIHOODS = {  # and their support
    "bernoulli": (lik.BernoulliLikelihood(), "binary"),
    "continuous_bernoulli": (lik.ContinuousBernoulliLikelihood(), "unit"),
    "normal_fixed": (lik.NormalLikelihood("fixed", 0.3), "unit"),
    "normal_learned": (lik.NormalLikelihood("learned"), "unit"),
    "normal_per_pixel": (lik.NormalLikelihood("per_pixel"), "unit"),
    "normal_optimal": (lik.NormalLikelihood("optimal"), "unit"),
    "laplace": (lik.LaplaceLikelihood("learned"), "unit"),
    "logistic": (lik.LogisticLikelihood(), "8bit"),
    "logistic_mixture": (lik.LogisticMixtureLikelihood(2), "8bit"),
}

POSTERIORS = {
    "normal": DiagonalNormalPosterior(LATENT_DIM),
    "deterministic": DeterministicPosterior(LATENT_DIM),
}


def plain_vae(network: str, likelihood: str, posterior: str) -> Model:
    head, support = LIKELIHOODS[likelihood]

    def build() -> nn.Module:
        body, decoder = NETWORKS[network](head.num_features(C))
        return VAE(
            encoder=nn.Sequential([body, POSTERIORS[posterior]]),
            prior=StandardNormal(LATENT_DIM),
            decoder=nn.Sequential([decoder, head]),
        )

    return Model(build, support, has_density=posterior != "deterministic")


MODELS: dict[str, Model] = {
    "-".join(names): plain_vae(*names)
    for names in itertools.product(NETWORKS, LIKELIHOODS, POSTERIORS)
}

OBJECTIVES: dict[str, ObjectiveCase] = {
    "elbo": ObjectiveCase(elbo.elbo_loss, make_hparams(kl_weight=2.0)),
    "capacity": ObjectiveCase(
        elbo.capacity_loss, make_hparams(kl_weight=3.0, capacity=0.1)
    ),
}


def objectives_of(model: str) -> list[str]:
    """The objectives that make sense for a model."""
    return [
        name
        for name, case in OBJECTIVES.items()
        if MODELS[model].has_density or not case.needs_density
    ]


def cases() -> list[object]:
    """Every pair of a model and an objective, for `pytest.mark.parametrize`."""
    return [
        pytest.param(model, objective, id=f"{model}-{objective}")
        for model in MODELS
        for objective in objectives_of(model)
    ]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Everything the battery asks of one model, from a single compilation."""

    losses: dict[str, Array]  # of each objective, []
    loss_gradients: dict[str, Params]
    distortion_gradient: Params
    jacobian: np.ndarray  # [B, B]: how much bound i changes with image j
    jitted: Array  # the losses, the distortion, and the bounds of the examples
    unjitted: Array  # the same without jit


@functools.cache
def measure(name: str) -> Measured:
    """Takes all values and gradients of one model.

    The losses, the distortion and the examples' bounds (minus the distortion for an
    autoencoder) are the rows of one vector, differentiated row by row.
    """
    model, objectives = MODELS[name], objectives_of(name)
    functions = model_functions(model.build())
    x = images(model.support)
    params = random_params(functions, x)

    def rows(params: Params, x: Array) -> Array:
        output = apply_samples(functions.apply, params, x, jax.random.key(2), K)
        cases = [OBJECTIVES[objective] for objective in objectives]
        losses = [case.objective(output, x, case.hparams)[0] for case in cases]
        distortion, rate = elbo.distortion_and_rate(output, x)
        totals = jnp.stack([*losses, distortion.mean()])
        return jnp.concatenate([totals, -(distortion + rate)])

    @functools.partial(jax.jit, compiler_options=FAST_COMPILE)
    def differentiate(params: Params, x: Array, row: Array) -> tuple[Array, Params]:
        values, pull_back = jax.vjp(rows, params, x)
        return values, pull_back(row)

    count = len(objectives) + 1 + B
    results = [differentiate(params, x, row) for row in jnp.eye(count)]
    to_params = [gradients[0] for _, gradients in results]
    to_images = jnp.stack([gradients[1] for _, gradients in results[-B:]])
    values = results[0][0]
    return Measured(
        losses={name: values[i] for i, name in enumerate(objectives)},
        loss_gradients={name: to_params[i] for i, name in enumerate(objectives)},
        distortion_gradient=to_params[len(objectives)],
        jacobian=np.abs(to_images).reshape(B, B, -1).sum(axis=2),
        jitted=values,
        unjitted=rows(params, x),
    )


def random_params(functions: ModelFunctions, x: Array) -> Params:
    """Parameters away from their starting values: no bias is zero."""
    shapes = jax.eval_shape(functions.init, jax.random.key(1), x)
    numbers = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: jnp.asarray(numbers.normal(0.0, 0.3, leaf.shape), leaf.dtype),
        shapes,
    )


def without_gradient(gradient: Params, ignored: Sequence[str] = ()) -> list[str]:
    """Paths of the parameters whose gradient is all zeros or not finite."""
    leaves, _ = jax.tree.flatten_with_path(gradient)
    named = {keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    return [
        path
        for path, leaf in named.items()
        if not path.startswith(tuple(ignored))
        and not (np.isfinite(leaf).all() and (np.asarray(leaf) != 0).any())
    ]
