"""Names for the types that appear in every signature."""

import zlib
from typing import Any

import jax

Array = jax.Array
Key = jax.Array  # a typed key, as made by jax.random.key(seed)
Params = Any  # the pytree that model.init(...)["params"] returns
ModelState = Any  # what a model keeps beside its parameters, {} for most
Codes = tuple[Array, ...]  # z of each latent layer, the one next to the data first
Metrics = dict[str, Array]
Hparams = dict[str, Array]  # traced numbers: kl_weight, learning_rate, ...


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
