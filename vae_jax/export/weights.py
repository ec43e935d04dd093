"""A trained run as safetensors: its weights, and what they are built into.

The folder is read without pickle, so that nothing in it is run: arrays with names, JSON
and text. Its `config.json` and `data.json` are those of the run.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vae_jax.data.spec import DataSpec
from vae_jax.errors import ConfigError, DataError
from vae_jax.export.card import CARD, model_card
from vae_jax.export.checks import check_out, check_packages, filling
from vae_jax.export.description import DESCRIPTION, describe_data
from vae_jax.fields import Fields
from vae_jax.paths import PathLike, local_path
from vae_jax.runs import identity
from vae_jax.runs.opened import Run, abstract_saved
from vae_jax.storage import manifest
from vae_jax.storage.records import read_json, write_json

FORMAT = "safetensors"
WEIGHTS = "model.safetensors"


def export_weights(
    run: Run, out: pathlib.Path, defaults: Fields, license: str
) -> list[str]:
    """Writes the weights of a run, its config and a model card.

    Args:
        run: a trained run, of any model.
        out: the folder; new or empty.
        defaults: the fields of configs/default.py, flat: the command in the card names
            those that differ.
        license: licence of the weights, an identifier of the Hugging Face Hub.

    Returns:
        Names of the files in `out`. `export.json` is written last: a folder that has
        it is complete.

    Raises:
        ConfigError: the folder holds something, or safetensors is not installed.
        StorageError: it can't be written.
    """
    check_packages(FORMAT, "export", ["safetensors"])
    check_out(out)
    from safetensors.numpy import save  # an extra

    # Not `ascontiguousarray`, which gives a scalar an axis.
    variables = jax.tree.map(
        lambda leaf: np.asarray(leaf, order="C"), jax.device_get(run.variables)
    )
    content: dict[str, Mapping[str, Any]] = {
        "config.json": run.config.to_dict(),
        "data.json": identity.read_data(run.workdir),
    }
    if (run.workdir / "results.json").is_file():
        content["results.json"] = identity.read_results(run.workdir)
    description = {
        "format": FORMAT,
        "load": "vae_jax.export.weights.open_weights(folder), or"
        " safetensors.numpy.load_file(path) for a dict of arrays",
        "step": run.step,
        "arrays": manifest.describe(variables),
        "data": describe_data(run),
    }
    card = model_card(run, content.get("results.json"), defaults, license)
    with filling(out):
        arrays = manifest.named(variables)
        (out / WEIGHTS).write_bytes(save(arrays, {"format": "vae_jax"}))
        (out / CARD).write_text(card, encoding="utf-8")
        for name, mapping in content.items():
            write_json(out / name, mapping)
        write_json(out / DESCRIPTION, description)
    return [CARD, WEIGHTS, *content, DESCRIPTION]


def open_weights(folder: PathLike) -> Run:
    """A trained model from the folder that `export_weights` wrote.

    Args:
        folder: that folder, whole.

    Returns:
        The run as `vae_jax.open_run` gives it, with the same parameters, bit for bit:
        it encodes, decodes, samples and has its config.

    Raises:
        ConfigError: the folder holds no such export, or safetensors is not installed.
        DataError: a file is damaged, or does not fit the others.
    """
    check_packages(FORMAT, "export", ["safetensors"])
    from safetensors import SafetensorError
    from safetensors.numpy import load_file  # an extra

    folder = local_path(folder)
    if not (folder / DESCRIPTION).is_file():
        raise ConfigError(f"{folder} holds no export (there is no {DESCRIPTION})")
    about = read_json(folder / DESCRIPTION)
    if about.get("format") != FORMAT:
        raise ConfigError(f"{folder} is an export to {about.get('format')}: {FORMAT}")
    config = identity.read_config(folder)
    spec = DataSpec.from_json(identity.read_data(folder))
    try:
        found = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{folder / WEIGHTS} can't be read: {error}") from None
    like = abstract_saved(config, spec).variables
    described = manifest.describe(found)
    wrong = manifest.misfit(described, manifest.describe(like))
    try:
        step = int(about["step"])
        wrong = wrong or manifest.corrupted(about["arrays"], described)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / DESCRIPTION} does not describe weights: {error!r}"
        ) from None
    if wrong:
        raise DataError(f"{folder / WEIGHTS} is damaged or of another model: {wrong}")
    variables = jax.tree.unflatten(
        jax.tree.structure(like), [found[name] for name in manifest.named(like)]
    )
    return Run(folder, config, spec, step, variables, {})
