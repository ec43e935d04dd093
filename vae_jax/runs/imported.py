"""Modules of a user's own, which add lines to the tables of parts.

    # my_parts.py
    from vae_jax import likelihoods

    likelihoods.BY_NAME["poisson"] = PoissonLikelihood

With `--import=my_parts` every program knows the new name. A run keeps the names of the
modules in its config; they are imported because a user says so, never because a file
does.
"""

import importlib
import sys
from collections.abc import Iterable, Sequence

from vae_jax.errors import ConfigError


def import_parts(names: Sequence[str]) -> None:
    """Imports modules by name.

    Args:
        names: names of modules, as in `import NAME`, found in the current folder or
            among installed packages.

    Raises:
        ConfigError: there is no such module, or it fails.
    """
    for name in names:
        if name.endswith(".py"):
            raise ConfigError(
                f"--import={name}: is a file: name the module, {name[:-3]}"
            )
        try:
            importlib.import_module(name)
        except Exception as error:  # a module is code, and may raise anything
            raise ConfigError(
                f"--import={name}: {type(error).__name__}: {error}"
            ) from error


def check_imported(names: Iterable[str], where: object) -> None:
    """Raises unless the modules that a run needs are imported.

    Args:
        names: names of modules, from the run's config.
        where: the run, for the message.

    Raises:
        ConfigError: says which flag to give.
    """
    missing = [name for name in names if name not in sys.modules]
    if missing:
        flags = " ".join(f"--import={name}" for name in missing)
        raise ConfigError(
            f"{where}: the run was trained with parts of its own: add {flags} (in"
            f" Python, first `import {', '.join(missing)}`)"
        )
