"""Paths as a user writes them."""

import os
import pathlib
import re

from vae_jax.errors import ConfigError

PathLike = str | os.PathLike[str]


def local_path(path: PathLike) -> pathlib.Path:
    """A path on this machine, with `~` expanded.

    Raises:
        ConfigError: it is an address such as gs://bucket/run, or there is no home
            folder that `~` could stand for.
    """
    text = os.fspath(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise ConfigError(
            f"{text}: only folders of this machine are read and written; mount the"
            " store, or copy the run there when it is finished"
        )
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: {error} Write the path without ~") from error
