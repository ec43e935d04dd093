"""The table of all variants, and what `test_battery.py` computes for each.

To have a new model, likelihood, prior or objective checked, add a line to `MODELS` or
`OBJECTIVES`; every test of the battery then runs on it. Shapes are tiny: the battery is
about mistakes in axes and gradients, which don't need more.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from vae_jax import likelihoods as lik
from vae_jax.models.vae import VAE
from vae_jax.networks.conv import ConvDecoder, ConvEncoder
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.objectives import elbo
from vae_jax.posteriors import DeterministicPosterior, DiagonalNormalPosterior
from vae_jax.priors import StandardNormal
from vae_jax.training.state import make_hparams
from vae_jax.training.step import apply_samples, model_functions
from vae_jax.types import Array, Hparams, Params

B, K, LATENT_DIM = 3, 2, 2
SIZE = 4  # height and width


def images(support: str, channels: int) -> Array:
    """A batch [B, SIZE, SIZE, channels] of random pixels of that support."""
    u = jax.random.uniform(jax.random.key(0), (B, SIZE, SIZE, channels))
    if support == "binary":
        return jnp.round(u)
    return jnp.round(u * 255) / 255 if support == "8bit" else u


@dataclasses.dataclass(frozen=True)
class Model:
    """One line of the table.

    Attributes:
        build: gives the module.
        support: of its likelihood, which decides on the images it is given.
        channels: of those images.
        has_density: False for an autoencoder, which has no bound.
        rate_only: beginnings of the paths of parameters that only the rate depends on,
            such as those of a learned prior.
        independent: False if examples are meant to influence each other.
    """

    build: Callable[[], nn.Module]
    support: str = "unit"
    channels: int = 1
    has_density: bool = True
    rate_only: tuple[str, ...] = ()
    independent: bool = True

    @property
    def x(self) -> Array:
        return images(self.support, self.channels)


@dataclasses.dataclass(frozen=True)
class ObjectiveCase:
    """An objective with its numbers; `needs_density` if it is no loss for a point."""

    objective: elbo.Objective
    hparams: Hparams
    needs_density: bool = False


def mlp(channels: int, features: int) -> tuple[nn.Module, nn.Module]:
    return MLPEncoder((6,)), MLPDecoder((SIZE, SIZE, features), (6,))


def conv(channels: int, features: int) -> tuple[nn.Module, nn.Module]:
    shape = (SIZE, SIZE, features)
    return ConvEncoder((3, 4), 6), ConvDecoder(shape, channels=(4, 3), hidden_dim=6)


NETWORKS = {"mlp": mlp, "conv": conv}

LIKELIHOODS = {  # module, support, channels
    "bernoulli": (lik.BernoulliLikelihood(), "binary", 2),
    "continuous_bernoulli": (lik.ContinuousBernoulliLikelihood(), "unit", 2),
    "normal_fixed": (lik.NormalLikelihood("fixed", 0.3), "unit", 2),
    "normal_learned": (lik.NormalLikelihood("learned"), "unit", 2),
    "normal_per_pixel": (lik.NormalLikelihood("per_pixel"), "unit", 2),
    "normal_optimal": (lik.NormalLikelihood("optimal"), "unit", 2),
    "laplace": (lik.LaplaceLikelihood("learned"), "unit", 2),
    "logistic": (lik.LogisticLikelihood(), "8bit", 2),
    "logistic_mixture": (lik.LogisticMixtureLikelihood(2), "8bit", 2),
}

POSTERIORS = {
    "normal": DiagonalNormalPosterior(LATENT_DIM),
    "deterministic": DeterministicPosterior(LATENT_DIM),
}


def plain_vae(network: str, likelihood: str, posterior: str) -> Model:
    head, support, channels = LIKELIHOODS[likelihood]

    def build() -> nn.Module:
        body, decoder = NETWORKS[network](channels, head.num_features(channels))
        return VAE(
            encoder=nn.Sequential([body, POSTERIORS[posterior]]),
            prior=StandardNormal(LATENT_DIM),
            decoder=nn.Sequential([decoder, head]),
        )

    return Model(build, support, channels, has_density=posterior != "deterministic")


MODELS: dict[str, Model] = {
    "-".join(names): plain_vae(*names)
    for names in itertools.product(NETWORKS, LIKELIHOODS, POSTERIORS)
}

OBJECTIVES: dict[str, ObjectiveCase] = {
    "elbo": ObjectiveCase(elbo.elbo, make_hparams(kl_weight=2.0)),
    "capacity": ObjectiveCase(
        elbo.capacity, make_hparams(kl_weight=3.0, capacity=0.1)
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
    bounds: Array  # ELBO of each example (minus distortion of an autoencoder), [B]
    jacobian: Array  # d bound i / d image j, [B, B]: the sum of the absolute values
    unjitted_rows: Array  # losses, distortion and bounds without jit


@functools.cache
def measure(name: str) -> Measured:
    """Compiles one model and takes all values and gradients in one backward pass.

    The losses, the distortion and the bounds are the rows of one vector, whose Jacobian
    with respect to parameters and images holds every gradient that is looked at.
    """
    model, objectives = MODELS[name], objectives_of(name)
    functions = model_functions(model.build())
    x = model.x
    params = functions.init(jax.random.key(1), x)

    def rows(params: Params, x: Array) -> tuple[Array, Array]:
        output = apply_samples(functions.apply, params, x, jax.random.key(2), K)
        losses = [
            OBJECTIVES[o].objective(output, x, OBJECTIVES[o].hparams)[0]
            for o in objectives
        ]
        distortion, rate = elbo.distortion_and_rate(output, x)
        values = jnp.stack([*losses, distortion.mean()])
        values = jnp.concatenate([values, -(distortion + rate)])
        return values, values

    differentiate = jax.jit(jax.jacrev(rows, argnums=(0, 1), has_aux=True))
    (to_params, to_images), values = differentiate(params, x)
    row = functools.partial(_row, to_params)
    count = len(objectives)
    return Measured(
        losses=dict(zip(objectives, values, strict=False)),
        loss_gradients={o: row(i) for i, o in enumerate(objectives)},
        distortion_gradient=row(count),
        bounds=values[count + 1 :],
        jacobian=jnp.abs(to_images[count + 1 :]).reshape(B, B, -1).sum(axis=2),
        unjitted_rows=rows(params, x)[0],
    )


def _row(jacobian: Params, index: int) -> Params:
    return jax.tree.map(lambda leaf: leaf[index], jacobian)


def without_gradient(gradient: Params, ignored: Sequence[str] = ()) -> list[str]:
    """Paths of the parameters whose gradient is all zeros or not finite."""
    leaves, _ = jax.tree.flatten_with_path(gradient)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return [
        path
        for path, (_, leaf) in zip(paths, leaves, strict=True)
        if not path.startswith(tuple(ignored))
        and not (jnp.isfinite(leaf).all() and (leaf != 0).any())
    ]
