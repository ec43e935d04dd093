"""What every export checks before it writes, and the folder that it fills."""

import contextlib
import importlib
import pathlib
from collections.abc import Iterator, Sequence

from vae_jax.errors import ConfigError
from vae_jax.files import writing


def check_out(out: pathlib.Path) -> None:
    """Refuses a folder that is not empty.

    Raises:
        ConfigError: it does, or it is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out={out} is a file: give a new or an empty folder")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"--out={out} is not empty: give a new or an empty folder")


@contextlib.contextmanager
def filling(out: pathlib.Path) -> Iterator[None]:
    """Makes the folder of an export; where it can't be filled, it is emptied again.

    Args:
        out: the folder, new or empty, see `check_out`.

    Raises:
        StorageError: it can't be written.
    """
    with writing(f"--out={out}"):
        out.mkdir(parents=True, exist_ok=True)
        try:
            yield
        except BaseException:
            for file in out.iterdir():
                file.unlink()
            raise


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
