"""Trackers of runs: one more is a module, a line in `BY_NAME`, and a test."""

import importlib.util
from collections.abc import Iterable

from vae_jax.errors import ConfigError, choose
from vae_jax.storage.trackers import mlflow, tensorboard, trackio, wandb
from vae_jax.storage.trackers.base import Kind

BY_NAME: dict[str, Kind] = {
    "tensorboard": tensorboard.KIND,
    "wandb": wandb.KIND,
    "mlflow": mlflow.KIND,
    "trackio": trackio.KIND,
}
FIELD = "train.trackers"


def selected(listed: Iterable[str]) -> dict[str, Kind]:
    """The trackers of these names, in the order of `BY_NAME`.

    Args:
        listed: names of trackers; an entry may hold several with commas between them,
            as a flag of a program does.

    Raises:
        ConfigError: there is no such tracker; says the nearest name.
    """
    words = [name.strip() for text in listed for name in text.split(",")]
    asked = [name for name in words if name]  # an empty flag is one empty name
    for name in asked:
        choose(BY_NAME, FIELD, name)
    return {name: kind for name, kind in BY_NAME.items() if name in asked}


def check_installed(listed: Iterable[str]) -> None:
    """Refuses a tracker whose package is not there.

    Args:
        listed: see `selected`.

    Raises:
        ConfigError: names the package and what to install.
    """
    for name, kind in selected(listed).items():
        if importlib.util.find_spec(kind.package) is None:
            raise ConfigError(
                f"{FIELD}: {name} needs the package {kind.package}: pip install"
                f" 'vae_jax[{kind.extra}]'"
            )
