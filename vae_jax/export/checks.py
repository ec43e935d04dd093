"""What every export checks before it writes: a folder, and packages."""

import importlib
import pathlib
from collections.abc import Sequence

from vae_jax.errors import ConfigError


def check_out(out: pathlib.Path) -> None:
    """Refuses a folder that is not empty.

    Raises:
        ConfigError: it does, or it is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out={out} is a file: give a new or an empty folder")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"--out={out} is not empty: give a new or an empty folder")


def check_packages(file_format: str, extra: str, packages: Sequence[str]) -> None:
    """Refuses a format whose packages are not installed.

    Args:
        file_format: name of the format, for the message.
        extra: the extra that installs them.
        packages: names of the packages to import.

    Raises:
        ConfigError: names the first that is absent, and the extra.
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"--format={file_format} needs the package {error.name}: install the"
                f" extra {extra!r}, pip install 'vae_jax[{extra}]'"
            ) from error
