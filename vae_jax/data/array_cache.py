"""Splits kept as one npz file, so that slow decoding happens once."""

import hashlib
import json
import logging
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vae_jax.data.dataset import Split
from vae_jax.files import replacing

_FORMAT = "2"  # part of every state: raise it when the meaning of a file changes
_log = logging.getLogger(__name__)


def folder_state(folder: pathlib.Path) -> str:
    """A digest of a folder's files (names, sizes, times); files of ours left out.

    A cache is valid as long as the state of what it was made from is the same.
    """
    files = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.lstrip(".").startswith("vae_jax-")
    ]
    return hashlib.sha256(json.dumps([_FORMAT, files]).encode()).hexdigest()


def user_cache_dir() -> pathlib.Path:
    """`VAE_JAX_CACHE`, or vae_jax in `XDG_CACHE_HOME` or ~/.cache.

    Raises:
        OSError: there is no home folder, as for an unknown user without HOME.
    """
    folder = os.environ.get("VAE_JAX_CACHE")
    parent = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return pathlib.Path(folder or f"{parent}/vae_jax").expanduser().absolute()
    except RuntimeError as error:
        raise OSError(f"{error} VAE_JAX_CACHE can name another") from error


def load(path: pathlib.Path, state: str) -> dict[str, Split] | None:
    """The splits in a cache file, or None if there is none for this state.

    A damaged file (zip keeps a crc32 of every array) is None with a warning.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if str(archive["state"]) != state:
                return None
            return {
                str(split): Split(
                    archive[f"{split}_images"],
                    archive.get(f"{split}_labels"),
                    factors=archive.get(f"{split}_factors"),
                )
                for split in archive["splits"]
            }
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged zip raises a dozen types
        _log.warning("%s is damaged (%s): rebuilding it", path, error)
        return None


def save(
    paths: Iterable[pathlib.Path], state: str, splits: Mapping[str, Split]
) -> None:
    """Writes the splits to the first of these paths that can be written.

    The file appears complete or not at all. Where none can be written, a warning is all
    that happens: a cache saves time, nothing else.
    """
    arrays: dict[str, Any] = {"state": state, "splits": list(splits)}
    for split, content in splits.items():
        arrays[f"{split}_images"] = np.asarray(content.images)
        for part in ("labels", "factors"):
            if (own := getattr(content, part)) is not None:
                arrays[f"{split}_{part}"] = own
    reasons = []
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.savez(file, **arrays)
            return
        except OSError as error:
            reasons.append(str(error))
    _log.warning("images are not cached: %s", "; ".join(reasons))
