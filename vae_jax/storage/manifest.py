"""Content of a checkpoint, written beside it: names, shapes, dtypes, CRC-32.

A manifest maps the name of each array ("params/encoder/bias") to
`{"array": "float32[3, 4]", "crc32": 123}`. It is stored sealed, that is together with
the CRC-32 of its own JSON text.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.types import PyTree

Json = dict[str, Any]  # an object of a JSON file, as it is read
Manifest = Mapping[str, Mapping[str, str | int | None]]


def describe(tree: PyTree) -> Manifest:
    """The manifest of a pytree.

    Args:
        tree: leaves are arrays or `jax.ShapeDtypeStruct`s.

    Returns:
        The manifest; `crc32` is None for every leaf that is not a NumPy array.
    """
    return {
        name: {
            "array": f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}",
            "crc32": _crc32(leaf) if isinstance(leaf, np.ndarray) else None,
        }
        for name, leaf in named(tree).items()
    }


def named(tree: PyTree) -> dict[str, Any]:
    """The leaves of a pytree in their order, by names such as "params/encoder/bias"."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def misfit(saved: Manifest, expected: Manifest) -> str | None:
    """Says how the first array that differs in name, dtype or shape differs.

    Args:
        saved: the manifest of a checkpoint.
        expected: the manifest of the state to restore.

    Returns:
        A clause for an error message, or None when both agree.
    """
    missing = {"array": "missing"}
    for name in [*expected, *saved]:
        found = saved.get(name, missing)["array"]
        wanted = expected.get(name, missing)["array"]
        if found != wanted:
            return f"{name} is {found} in the checkpoint and {wanted} in the model"
    return None


def corrupted(saved: Manifest, found: Manifest) -> str | None:
    """The name of the first array whose CRC-32 is not the saved one, or None."""
    for name, entry in saved.items():
        if entry["crc32"] not in (None, found.get(name, {}).get("crc32")):
            return name
    return None


def seal(content: Mapping[str, object]) -> dict[str, object]:
    """Adds the CRC-32 of its JSON text to a mapping that JSON can hold."""
    content = json.loads(json.dumps(content))  # as it will be read: tuples become lists
    return {"content": content, "crc32": json_crc32(content)}


def unseal(sealed: Mapping[str, Any]) -> Json:
    """The content that was sealed.

    Raises:
        ValueError: the content is not what was sealed.
    """
    if json_crc32(sealed["content"]) != sealed["crc32"]:
        raise ValueError("the checksum of the manifest is wrong")
    return sealed["content"]


def json_crc32(content: object) -> int:
    """CRC-32 of what JSON can hold, whatever the order of its keys."""
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _crc32(array: np.ndarray) -> int:
    """CRC-32 of the array's bytes in C order (copied only if not contiguous)."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
