"""A lower bound on the memory of a training, from the shapes of its arrays.

The shapes are those of the state and of one pass forward, traced and never computed, so
nothing here depends on the kind of model.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset
from vae_jax.data.examples import abstract_x, inputs
from vae_jax.data.spec import DataSpec
from vae_jax.flat import flatten
from vae_jax.models.base import takes
from vae_jax.outputs import VAEOutput
from vae_jax.runs.best import Saved
from vae_jax.storage import manifest
from vae_jax.types import Examples, Key, ModelState, Params

# The sections of a config that set no sizes, and what sets none in the others.
NO_SIZES = ("seed", "hparams", "optimizer", "train", "eval")
Arrays = Mapping[str, jax.ShapeDtypeStruct]


class Need(NamedTuple):
    """Memory for one thing."""

    what: str
    bytes: int
    fields: Sequence[str]  # what sets its size, as "model.latent_dim=16"


def trace(config: ConfigDict, spec: DataSpec, model: nn.Module, saved: Saved) -> Arrays:
    """The arrays of a training of one member; only their shapes are computed.

    Args:
        config: a config that `memory.check_numbers` has passed.
        spec: shapes and sizes of the data.
        model: model of this config.
        saved: shapes of what a checkpoint holds of one member.

    Returns:
        Shapes by name: `state/...` is what a checkpoint holds, `gradient/...` is as
        large as the parameters, `layers/...` is what each layer that has parameters
        gives for a batch and one draw, `output/...` what the model gives for K draws.
    """
    params, state = saved.state.params, saved.state.model_state
    settings: dict[str, Any] = {"train": True} if takes(model, "train") else {}

    def forward(
        params: Params, state: ModelState, x: Examples, key: Key
    ) -> tuple[VAEOutput, ModelState]:
        return model.apply(
            {"params": params, **state},
            x,
            key,
            **settings,
            rngs={"dropout": key},
            capture_intermediates=_has_parameters,
            mutable=["intermediates", *state],
        )

    x = abstract_x(spec, inputs(model), config.data.batch_size)
    output, kept = jax.eval_shape(
        forward, params.model, state, x, build.run_key(config)
    )
    draws = (config.objective.num_samples,)
    output = jax.tree.map(lambda leaf: leaf.update(shape=draws + leaf.shape), output)
    rest = {"gradient": params, "layers": kept["intermediates"], "output": output}
    return manifest.named(saved) | manifest.named(rest)


def needs(
    config: ConfigDict, dataset: Dataset, arrays: Arrays, members: int
) -> Iterator[Need]:
    """Arrays that exist at the same time during a step: less than a step really takes.

    Args:
        config: config of the training.
        dataset: its images.
        arrays: shapes of the arrays of one member, from `trace`.
        members: runs that are computed side by side.

    Yields:
        The needs, one after the other.
    """
    name, leaf = max(arrays.items(), key=lambda item: num_bytes(item[1]))
    shape = (members, *leaf.shape) if members > 1 else leaf.shape
    text = f"arrays like {name}, {leaf.dtype}[{','.join(map(str, shape))}]"
    together = f"{members} members side by side (--members_per_program)", members
    total = members * sum(map(num_bytes, arrays.values()))
    yield Need(text, total, _made_of(shape, [*sizes(config), together]))
    data, train = config.data, config.train
    there = min(int(data.device_budget_mb * 1e6), dataset.train.images.nbytes)
    budget = f"data.device_budget_mb={data.device_budget_mb:g}"
    yield Need("the training images", there, [budget])
    ends = ("log_every", "num_steps", "eval_every", "checkpoint_every")
    length = min(train[name] for name in ends if train[name])
    rows = 2 * 4 * length * data.batch_size  # one chunk runs, the next is on its way
    chunk = f"train.log_every={train.log_every}"
    yield Need("rows of the batches of a chunk of steps", rows, [chunk])


def sizes(config: ConfigDict) -> Iterator[tuple[str, int]]:
    """("field=value", number) for each whole number that may set the size of an array.

    A field that holds several comes once for each.
    """
    for field, value in flatten(config.to_dict()).items():
        if field.split(".")[0] not in NO_SIZES and field != "data.seed":
            text = f"{field}={value}"
            for number in value if isinstance(value, tuple | list) else [value]:
                if type(number) is int:
                    yield text, number


def num_bytes(leaf: jax.ShapeDtypeStruct) -> int:
    """Bytes of an array of this shape."""
    return math.prod(leaf.shape) * leaf.dtype.itemsize


def _made_of(shape: Sequence[int], numbers: Sequence[tuple[str, int]]) -> list[str]:
    """The factors of a shape: for each long axis the largest number that divides it.

    An axis may hold several, as two moments for each latent dimension; a number below
    the root of the axis would divide it by chance.
    """
    found = []
    for axis in shape:
        fit = [(n, name) for name, n in numbers if n * n >= axis and axis % n == 0]
        if 1 < axis and max(shape) / 10 < axis:
            found += [name for n, name in fit if n == max(fit)[0]]
    return list(dict.fromkeys(found))


def _has_parameters(module: nn.Module, method: str) -> bool:
    own = module.variables.get("params", {}).values()
    return method == "__call__" and any(hasattr(value, "shape") for value in own)
