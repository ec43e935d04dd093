"""Examples as a pytree of arrays [N, ...]: one array of images, or a dict of parts.

A part is "image", [N, H, W, C]; "label", the class as a number [N], -1 where an image
has none; or "factors", the values of the factors of variation, [N, F]. Which of them a
model is given stands in `inputs` alone; whatever else handles examples maps over the
arrays.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data.spec import DataSpec
from vae_jax.errors import ContractError
from vae_jax.types import AnyArray, Examples, PyTree

Inputs = tuple[str, ...]  # names of parts

IMAGE: Inputs = ("image",)
PARTS = ("image", "label", "factors")
AT_ONCE = 2**24  # bytes of images that are looked at together


def inputs(model: object) -> Inputs:
    """The parts of x for a model: its attribute `inputs`, by default the images.

    A model with `inputs = ("image", "label")` is given a dict x of these two; one with
    ("image",) is given the images themselves as x.

    Args:
        model: a module, or another object with the attribute `inputs`.

    Raises:
        ContractError: a name is not in `PARTS`, or "image" is not among them.
    """
    names = tuple(getattr(model, "inputs", IMAGE))
    if "image" not in names or not set(names) <= set(PARTS):
        raise ContractError(
            f"a model's inputs are {names!r}: they must be image, and label or factors"
            " where the model is given those, too"
        )
    return names


def join(parts: Mapping[str, PyTree]) -> Examples:
    """The parts as they are handed on: the bare array where there are images only."""
    return parts["image"] if tuple(parts) == IMAGE else dict(parts)


def image_of(examples: Examples) -> Any:
    """The images of examples, or of what a model is given."""
    return examples["image"] if isinstance(examples, Mapping) else examples


def with_image(examples: Examples, image: Any) -> Examples:
    """The same examples with other images."""
    return {**examples, "image": image} if isinstance(examples, Mapping) else image


def take(examples: Examples, rows: AnyArray | slice | int) -> Examples:
    """The examples in these rows."""
    return jax.tree.map(lambda leaf: leaf[rows], examples)


def num_examples(examples: Examples) -> int:
    """N."""
    return len(image_of(examples))


def num_bytes(examples: Examples) -> int:
    """Bytes of all arrays together."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(examples))


def abstract_x(spec: DataSpec, names: Inputs, batch_size: int) -> Examples:
    """Shapes and dtypes of a batch x for a model.

    Args:
        spec: shapes and sizes of the data.
        names: names of the parts of x, from `inputs`.
        batch_size: B.
    """
    parts = {
        "image": ((batch_size, *spec.image_shape), np.float32),
        "label": ((batch_size,), np.int32),
        "factors": ((batch_size, len(spec.factor_sizes or ())), np.int32),
    }
    return join({name: jax.ShapeDtypeStruct(*parts[name]) for name in names})


def zeros_x(spec: DataSpec, names: Inputs, batch_size: int) -> Examples:
    """Zeros of the shapes of `abstract_x`, to initialise a model with."""
    shapes = abstract_x(spec, names, batch_size)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def in_parts(array: np.ndarray) -> Iterator[np.ndarray]:
    """An array some rows at a time, so that what is computed of them stays small.

    Args:
        array: [N, ...].

    Yields:
        Rows of it, `AT_ONCE` bytes at most, or a single one.
    """
    step = max(1, AT_ONCE // array[:1].nbytes)
    for start in range(0, len(array), step):
        yield array[start : start + step]
