"""Names for the types that appear in every signature."""

import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

Array = jax.Array
AnyArray = jax.Array | np.ndarray  # of JAX or, outside a compiled program, of NumPy
Key = jax.Array  # a typed key, as made by jax.random.key(seed)
PyTree = Any  # an array, or containers of such that JAX knows: dict, tuple, dataclass
Examples = PyTree  # x, what a model is given: an array [B, ...], or a pytree of such
Given = PyTree  # what of x a conditional model conditions on; None for all others
Params = PyTree  # the pytree that model.init(...)["params"] returns
ModelState = PyTree  # what a model keeps beside its parameters, {} for most
Codes = tuple[Array, ...]  # z of each latent layer, the one next to the data first
Metrics = dict[str, Array]
Hparams = dict[str, Array]  # traced numbers: kl_weight, learning_rate, ...
Activation = Callable[[Array], Array]  # between the layers of a network


def stream(key: Key, name: str) -> Key:
    """A key for one named purpose ("init", "latents", ...), independent of the others.

    `fold_in` and `split` share their values, so a key is only ever used one way: named
    streams are taken from the root key, and steps are folded into a stream.

    Args:
        key: the root key of a run.
        name: what the stream is for; the same name gives the same key.

    Returns:
        A typed random key.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
