"""One model for each line of each table, and what `test_battery.py` computes for it.

A line in a table of parts, such as `likelihoods.BY_NAME`, is all that is needed to have
a part of a model or an objective tried here: once, with the default of everything else.
Shapes are tiny: the battery is about mistakes in axes and gradients, which don't need
more.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import keystr
from ml_collections import ConfigDict

from configs import default
from vae_jax import build, objectives, parts, posteriors
from vae_jax.data.examples import inputs, join, with_image
from vae_jax.data.spec import DataSpec
from vae_jax.distributions import DiagonalNormal
from vae_jax.flat import flatten
from vae_jax.objectives import elbo
from vae_jax.objectives.base import Objective
from vae_jax.training.functions import ModelFunctions, apply_samples, model_functions
from vae_jax.training.state import Variables, make_hparams
from vae_jax.types import Array, Params

B, K = 5, 2  # an objective that compares examples needs four or more
H, W, C = 4, 3, 2  # all different, so that mixed-up axes show
SHAPES = {"top_down": (4, 4, 2)}  # of the images of a model that needs other ones

# Nothing here runs long: unoptimised code compiles four times as fast.
FAST_COMPILE = {
    "xla_backend_optimization_level": 0,
}

SMALL = {
    "model.latent_dim": 2,
    "mlp.hidden_dims": (6,),
    "gated.hidden_dims": (6,),
    "conv.channels": (3, 4),
    "conv.hidden_dim": 6,
    "residual.channels": (4,),
    "residual.num_blocks": (1,),
    "residual.hidden_dim": 6,
    "residual.attention": True,
    "hierarchical.latent_dims": (2,),
    "hierarchical.hidden_dims": (5,),
    "ladder.latent_dims": (2,),
    "ladder.hidden_dims": (5,),
    "fsq.levels": (16, 15),  # fine ones: at 0, the middle, nothing would depend on them
    "fsq.num_sites": 2,
    "vq.num_codes": 4,
    "vq.code_dim": 2,
    "vq.num_sites": 2,
    "lfq.num_bits": 3,
    "lfq.num_sites": 2,
    "top_down.blocks": "1x1,2x1",
    "top_down.width": 4,
    "top_down.bottleneck": 0.5,
    "coupling_flow.num_layers": 2,
    "coupling_flow.hidden_dim": 4,
    "mixture.num_components": 3,
    "vamp.num_components": 3,
    "logistic_mixture.num_components": 2,
}
CRITIC = {"hidden_dim": 6, "num_hidden": 1}
# What goes with a part that does not go with all defaults.
_DISCRETE = {"model.prior": "uniform"}
BESIDE: dict[str, dict[str, Any]] = {
    "fsq": _DISCRETE,
    "vq": _DISCRETE,
    "lfq": _DISCRETE,
    "uniform": {"model.posterior": "fsq"},
    "label_normal": {"model.condition": "label"},
    "m2": {"objective.name": "semi_supervised"},
}
DEFAULT = "default"
# Every line of the tables that make a model, and what is no line of a table.
MODELS: dict[str, dict[str, Any]] = {DEFAULT: {}} | {
    name: {field: name, **BESIDE.get(name, {})}
    for field, table in parts.TABLES.items()
    for name in table
    if field.startswith("model.")
}
MODELS |= {
    "conditional": {"model.condition": "label", "model.network": "conv"},
    "normal-fixed": {"model.likelihood": "normal", "normal.scale": "fixed"},
    "normal-per_pixel": {"model.likelihood": "normal", "normal.scale": "per_pixel"},
    "normal-optimal": {"model.likelihood": "normal", "normal.scale": "optimal"},
    "ladder-layer": {"model.name": "ladder", "ladder.norm": "layer"},
    "ladder-batch": {
        "model.name": "ladder",
        "ladder.norm": "batch",
        "mlp.norm": "layer",
    },
    "fsq-spatial": {
        "model.posterior": "fsq",
        "model.prior": "uniform",
        "model.network": "residual",
        "residual.spatial": True,
        "residual.attention": False,
    },
    "deterministic-conv": {
        "model.posterior": "deterministic",
        "model.network": "conv",
    },
}
_USUAL = flatten(default.get_config().to_dict())
for _name in [n for n, fields in MODELS.items() if n != DEFAULT]:
    if all(_USUAL[field] == value for field, value in MODELS[_name].items()):
        del MODELS[_name]  # that is the default

USUAL = ("elbo", "iwae")
# Parameters that only the rate depends on: what lies above the code that is decoded.
# A class is drawn, and draws of it pass on no gradient.
RATE_ONLY = ("prior", "encoders_1", "decoders_1", "classifier")
# Run without jit, too, where each operation is compiled by itself: what looks at values
# that jit hides (`check_classes`, at labels), and what most others share.
UNJITTED = (DEFAULT, "label_normal")
HPARAMS = make_hparams(
    kl_weight=2.0,
    capacity=0.1,
    tc_weight=2.0,
    covariance_weight=2.0,
    mmd_weight=2.0,
    code_weight=0.5,
    gradient_weight=0.5,
    commitment_weight=0.5,
    entropy_weight=0.2,
    classification_weight=2.0,
)


def config_of(model: str) -> ConfigDict:
    """The config of a line, with small sizes."""
    config = default.get_config()
    config.update_from_flattened_dict(SMALL | MODELS[model])
    return config


def spec_of(model: str) -> DataSpec:
    """The form of the images of a line."""
    shape = SHAPES.get(model, (H, W, C))
    return DataSpec(shape, levels="8bit", num_train=B, num_classes=2)


def images(shape: Sequence[int], support: str) -> Array:
    """A batch [B, H, W, C] of random pixels of that support."""
    u = np.random.default_rng(0).random((B, *shape), np.float32)
    if support == "binary":
        return jnp.asarray(np.round(u))
    return jnp.asarray(np.round(u * 255) / 255 if support == "8bit" else u)


def objectives_of(model: str) -> dict[str, Objective]:
    """The objectives that are tried with a model: all with the default.

    With the others a usual one, a bound, and those that are for such a model only.
    """
    chosen = config_of(model).model
    posterior = posteriors.BY_NAME[chosen.posterior].distribution
    made = build.make_parts(config_of(model), spec_of(model))["model"]
    extras = set(getattr(made, "gives_extras", ()))
    needs_extras = getattr(made, "draws_without_gradient", False)
    return {
        name: own
        for name, make in objectives.BY_NAME.items()
        for own in [make(**CRITIC) if name == "factor" else make()]
        if (
            model == DEFAULT
            or name in USUAL
            or not issubclass(DiagonalNormal, own.needs_posterior)
            or own.needs_extras
        )
        and issubclass(posterior, own.needs_posterior)
        and extras >= set(own.needs_extras)
        and (own.needs_extras or not needs_extras)
        and (posterior.has_density or not own.needs_density)
        and not own.splits_encoder
    }


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
    jitted: np.ndarray  # the losses, the distortion, and the bounds of the examples
    unjitted: Array | None  # the same without jit, for some
    programs: tuple[str, str]  # what jit makes of two such models, made one by one


@functools.cache
def measure(name: str) -> Measured:
    """Takes all values and gradients of one model.

    The losses, the distortion and the examples' bounds (minus the distortion for an
    autoencoder) are the rows of one vector, differentiated row by row.
    """
    rows, params, pixels, given = _rows_of(name)
    own = objectives_of(name)

    @functools.partial(jax.jit, compiler_options=FAST_COMPILE)
    def differentiate(
        params: Params, pixels: Array, given: Any, row: Array
    ) -> tuple[Array, Params]:
        own_rows = functools.partial(rows, given=given)
        values, pull_back = jax.vjp(own_rows, params, pixels)
        return values, pull_back(row)

    count = len(own) + 1 + B
    each = np.eye(count, dtype=np.float32)
    results = [differentiate(params, pixels, given, row) for row in each]
    to_params = [gradients[0] for _, gradients in results]
    to_images = np.stack([gradients[1] for _, gradients in results[-B:]])
    values = np.asarray(results[0][0])
    return Measured(
        losses={name: values[i] for i, name in enumerate(own)},
        loss_gradients={name: to_params[i] for i, name in enumerate(own)},
        distortion_gradient=to_params[len(own)],
        jacobian=np.abs(to_images).reshape(B, B, -1).sum(axis=2),
        jitted=values,
        unjitted=rows(params, pixels, given) if name in UNJITTED else None,
        programs=(_program(rows, params, pixels, given), _program(*_rows_of(name))),
    )


def _rows_of(name: str) -> tuple[Callable[..., Array], Params, Array, Any]:
    """A model that is made anew, as a function, and what that is given."""
    spec = spec_of(name)
    made = build.make_parts(config_of(name), spec)
    functions = model_functions(made["model"])
    own = objectives_of(name)
    pixels = images(spec.image_shape, made["likelihood"].support)
    all_parts = {"image": pixels, "label": jnp.asarray(np.arange(B) % spec.num_classes)}
    given = join({part: all_parts[part] for part in inputs(made["model"])})
    first = random_params(functions, given)
    params = first.params if isinstance(first, Variables) else first

    def rows(params: Params, pixels: Array, given: Any) -> Array:
        x = with_image(given, pixels)
        is_stateful = isinstance(first, Variables)
        variables = dataclasses.replace(first, params=params) if is_stateful else params
        output = apply_samples(functions.apply, variables, x, jax.random.key(2), K)
        losses = [loss_of(objective, output, x) for objective in own.values()]
        distortion, rate = elbo.distortion_and_rate(output, x)
        totals = jnp.stack([*losses, distortion.mean()])
        return jnp.concatenate([totals, -(distortion + rate)])

    return rows, params, pixels, given


def _program(rows: Callable[..., Array], *arguments: Any) -> str:
    """The operations of a function, without the addresses of Python's objects."""
    traced = jax.make_jaxpr(rows)(*arguments)
    constants = [np.asarray(value).tolist() for value in traced.consts]
    return re.sub(" at 0x[0-9a-f]+", "", f"{traced} {constants}")


def loss_of(objective: Objective, output: Any, x: Array) -> Array:
    """The loss of an objective, with its own parameters, if any, as they start."""
    key = jax.random.key(3)
    params = objective.init(key, output)
    return objective.apply(params, output, x, HPARAMS, key)[0]


def random_params(functions: ModelFunctions, x: Any) -> Params | Variables:
    """Parameters away from their starting values: no bias is zero.

    A model with state has them in `Variables`, together with the state of its start.
    """
    shapes = jax.eval_shape(functions.init, jax.random.key(1), x)
    if isinstance(shapes, Variables):
        init = jax.jit(functions.init, compiler_options=FAST_COMPILE)
        first = init(jax.random.key(1), x)
        return dataclasses.replace(first, params=_random_like(first.params))
    return _random_like(shapes)


def _random_like(params: Params) -> Params:
    numbers = np.random.default_rng(1)

    def like(leaf: Any) -> Array:  # rounded by NumPy: JAX would compile a program
        values = np.asarray(numbers.normal(0.0, 0.3, leaf.shape), leaf.dtype)
        return jnp.asarray(values, leaf.dtype)

    return jax.tree.map(like, params)


def without_gradient(gradient: Params, ignored: Sequence[str] = ()) -> list[str]:
    """Paths of the parameters whose gradient is all zeros or not finite."""
    if isinstance(gradient, Variables):
        gradient = gradient.params
    leaves, _ = jax.tree.flatten_with_path(gradient)
    named = {keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    return [
        path
        for path, leaf in named.items()
        if not path.startswith(tuple(ignored))
        and not (np.isfinite(leaf).all() and (np.asarray(leaf) != 0).any())
    ]
