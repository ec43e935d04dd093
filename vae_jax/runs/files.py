"""The small files of a workdir that say what the run is: config.json and data.json."""

import json
import pathlib
from typing import Any

from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset
from vae_jax.errors import ConfigError, DataError
from vae_jax.workdir.writers import read_json, write_json

# Where the data lie, and how they come to the device, is no part of what a run is: it
# may go on with other values.
FREE_FIELDS = ("data.dir", "data.device_budget_mb")


def check_workdir(workdir: pathlib.Path, config: ConfigDict) -> bool:
    """Whether the workdir is new; refuses one that holds another run, or a grid."""
    if (workdir / "grid.json").is_file():
        raise ConfigError(f"workdir={workdir} holds a grid: choose another workdir")
    path = workdir / "config.json"
    if not path.is_file():
        return True
    saved = build.flatten(read_json(path))
    # Through JSON, so that tuples and lists compare equal.
    wanted = build.flatten(json.loads(json.dumps(config.to_dict())))
    different = [
        f"{name} ({saved.get(name)!r} there, {wanted.get(name)!r} here)"
        for name in sorted(saved.keys() | wanted.keys())
        if name not in FREE_FIELDS and saved.get(name) != wanted.get(name)
    ]
    if different:
        raise ConfigError(
            f"workdir={workdir} holds a run with another config:"
            f" {', '.join(different)}. Choose another workdir, or the same values"
        )
    return False


def claim_workdir(workdir: pathlib.Path, config: ConfigDict, dataset: Dataset) -> None:
    """Makes the workdir of a new run.

    Raises:
        ConfigError: it can't be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / "data.json", describe(dataset))
        write_json(workdir / "config.json", config.to_dict())
    except OSError as error:
        raise ConfigError(
            f"workdir={workdir} can't be written: {error.strerror}"
        ) from error


def check_same_data(workdir: pathlib.Path, dataset: Dataset) -> None:
    """Compares a data set with the one that the run in `workdir` saw.

    Raises:
        DataError: they are not the same.
    """
    saved = read_json(workdir / "data.json")
    found = describe(dataset)
    different = [name for name in saved if saved[name] != found.get(name)]
    if different:
        name = different[0]
        raise DataError(
            f"the data set {dataset.name} is not the one that {workdir} was trained on:"
            f" {name} is {found.get(name)}, was {saved[name]}"
        )


def describe(dataset: Dataset) -> dict[str, Any]:
    """What data.json says of a data set."""
    return {
        "name": dataset.name,
        "image_shape": list(dataset.image_shape),
        "levels": dataset.levels,
        "train": len(dataset.train),
        "validation": len(dataset.validation),
        "test": len(dataset.test),
        "fingerprint": dataset.fingerprint,
    }
