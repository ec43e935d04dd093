"""From the workdirs of runs to the page in which their latent spaces are explored."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from vae_jax.as_text import exact, few_digits
from vae_jax.data.dataset import Dataset, to_unit_floats
from vae_jax.data.spec import DataSpec
from vae_jax.errors import CheckpointError, ConfigError, DataError
from vae_jax.evaluation.chunks import even_rows
from vae_jax.paths import PathLike
from vae_jax.quantities import Results
from vae_jax.report.compare import short_names
from vae_jax.report.explorer import HeldOut, cell, write_explorer
from vae_jax.runs import finish, identity
from vae_jax.runs.explored import explore_run
from vae_jax.runs.finished import FinishedRuns, read_finished
from vae_jax.runs.moved_layer import small_size
from vae_jax.runs.opened import open_run

MOST_RUNS = 32
MOST_SHOWN = 500  # held-out images
MOST_PIXELS = 12_000_000  # of all images of a page, colour channels together
RESULTS = ("elbo", "rate", "distortion", "hole_mass", "coverage")
POSTERIOR, WEIGHT = "model.posterior", "hparams.kl_weight"


def explore(
    workdirs: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    title: str,
    names: Sequence[str] | None = None,
    data_dir: PathLike | None = None,
) -> tuple[int, int]:
    """Writes a page that goes through the latent spaces of finished runs.

    Args:
        workdirs: workdirs of runs on the same images, or of grids, which stand for all
            their members.
        out: the HTML file; its folder must exist.
        title: title of the page.
        names: what the page calls each run; None: what tells them apart.
        data_dir: where the data lie, if they have moved.

    Returns:
        How many runs it shows, and its size in bytes.

    Raises:
        ConfigError: a folder holds no finished run, the runs are too many, or one has
            discrete codes or was trained on other images than the first.
        DataError: the data are not there or not the same.
        StorageError: the file can't be written.
    """
    _check_number(len(workdirs))
    finished = read_finished(workdirs)
    folders = finished.workdirs
    _check_number(len(folders))
    _check_images(folders)
    dataset = open_run(folders[0]).dataset(data_dir)
    rows, most_images = _share_pixels(dataset, len(folders))
    found = []
    for folder, name in zip(folders, names or run_names(finished), strict=True):
        explored = explore_run(open_run(folder), dataset, rows, most_images)
        numbers = _numbers(identity.read_results(folder))
        found.append(dataclasses.replace(explored, name=name, numbers=numbers))
    return len(found), write_explorer(out, _heldout(dataset, rows), found, title=title)


def _check_number(num_runs: int) -> None:
    """Refuses more runs than a page holds."""
    if num_runs > MOST_RUNS:
        raise ConfigError(
            f"--workdir stands for {num_runs} runs, and a page holds {MOST_RUNS} at"
            " most: name some of them, such as GRID/members/NAME"
        )


def _check_images(folders: Sequence[pathlib.Path]) -> None:
    """Refuses runs whose images can't be shown, or not together."""
    first, *others = (identity.read_data(folder) for folder in folders)
    if why_not := DataSpec.from_json(first).why_no_pictures:
        raise ConfigError(f"--workdir={folders[0]} can't be shown: {why_not}")
    for folder, data in zip(folders[1:], others, strict=True):
        if data["fingerprint"] != first["fingerprint"]:
            raise ConfigError(
                f"--workdir={folder} was trained on other images ({data['name']}) than"
                f" {folders[0]} ({first['name']}): a page shows codes of the same ones"
            )


def explore_grid(
    folders: Sequence[pathlib.Path], out: pathlib.Path, title: str
) -> None:
    """Writes the page of a grid beside its report, or logs why there can be none.

    Args:
        folders: the members of the grid.
        out: the HTML file.
        title: title of the page.
    """
    with_results = [f for f in folders if (f / "results.json").is_file()]
    if not with_results:
        return
    try:
        explore(with_results, out, title=title)
    except (ConfigError, DataError, CheckpointError) as error:
        logging.info("no explorer of the latent spaces: %s", error)


def _share_pixels(dataset: Dataset, num_runs: int) -> tuple[np.ndarray, int]:
    """Which test images are shown, and how many codes of each run may be decoded."""
    if len(dataset.test) < 2:
        raise ConfigError(f"{dataset.name} has one test image: two codes are needed")
    place = cell(*small_size(*dataset.image_shape[:2]))
    of_a_run = MOST_PIXELS // math.prod(place) // num_runs
    rows = even_rows(len(dataset.test), min(MOST_SHOWN, of_a_run // 3))
    return rows, of_a_run - len(rows)


def _heldout(dataset: Dataset, rows: np.ndarray) -> HeldOut:
    images = to_unit_floats(dataset.test.images[rows])
    size = small_size(*images.shape[1:3])
    shape = (len(images), *size, images.shape[3])
    small = jax.image.resize(jnp.asarray(images), shape, "linear")
    labels = dataset.test.labels
    return HeldOut(
        np.asarray(small),
        None if labels is None else labels[rows],
        dataset.class_names,
    )


def _numbers(results: Results) -> list[tuple[str, str]]:
    """Titles and values, as readers see them, of the most important results."""
    return [
        (quantity.title, f"{few_digits(results[key])} {quantity.unit}".strip())
        for quantity in finish.quantities()
        for key in quantity.lines
        if key in RESULTS and results.get(key) is not None
    ]


def run_names(runs: FinishedRuns) -> list[str]:
    """What tells runs apart, in words for the switch of the page.

    The values of the fields that differ, or the names of the folders if these are more
    than three or do not tell all runs apart. A plain autoencoder is called so: it has
    no posterior and no KL term, whatever its weight is.

    Args:
        runs: finished runs.
    """
    folders = [folder.name for folder in runs.workdirs]
    fields = [*runs.swept, "seed"]
    if len(runs.swept) > 3:
        return folders
    names = []
    kinds = {c.get(POSTERIOR) for c in runs.configs} - {"deterministic"}
    seeds = {c.get("seed") for c in runs.configs}
    shorts = short_names(fields)
    for config in runs.configs:
        is_plain = config.get(POSTERIOR) == "deterministic"
        left_out = {POSTERIOR, WEIGHT} if is_plain else set()
        left_out |= {POSTERIOR} if len(kinds) < 2 else set()
        left_out |= {"seed"} if len(seeds) < 2 else set()
        words = ["autoencoder"] if is_plain else []
        words += [
            f"{shorts[f]} {exact(config.get(f))}" for f in fields if f not in left_out
        ]
        names.append(", ".join(words))
    return names if len(set(names)) == len(names) and all(names) else folders
