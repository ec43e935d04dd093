"""The codes of a run's images, with what leads back to the images."""

import pathlib

import numpy as np

from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.runs.opened import Run
from vae_jax.runs.own_images import read_images
from vae_jax.runs.run_data import split_of

Arrays = dict[str, np.ndarray]


def codes_of_split(run: Run, split: str, data_dir: str | None = None) -> Arrays:
    """The posterior of every image of a split.

    Args:
        run: a trained run.
        split: "train", "validation" or "test".
        data_dir: where the data lie, if they have moved.

    Returns:
        `mean` and `std` [N, D] of q(z | x), see `FirstLayer`; `rows` [N], where each
        image stands in its split of the source; and, where the data have them,
        `labels`, `factors` with `factor_names`, `files` and `class_names`.
    """
    dataset = run.dataset(data_dir)
    images = split_of(run.config, dataset, split)
    layer = FirstLayer.of(run.trained, images.x(np.zeros(1, int)))
    mean, std = layer.means_and_stds(images)
    own = dataset.splits[split]
    codes = {"mean": mean, "std": std, "rows": own.rows}
    if own.labels is not None:
        codes["labels"] = own.labels
    if own.factors is not None:
        codes["factors"] = own.factors
    if dataset.factor_names is not None:
        codes["factor_names"] = np.array(dataset.factor_names)
    if own.files is not None:
        codes["files"] = own.files
    if dataset.class_names is not None:
        codes["class_names"] = np.array(dataset.class_names)
    return codes


def codes_of_images(run: Run, path: pathlib.Path) -> tuple[Arrays, tuple[str, ...]]:
    """The posterior of images of a user's own.

    Args:
        run: a trained run.
        path: a folder, an image or an npz file, see `own_images.read_images`.

    Returns:
        `mean`, `std` and `rows` as of a split, and `files` where they are such; and
        what was skipped or cut off, a phrase each.
    """
    own = read_images(run, path)
    found = run.reconstruct(own.examples)
    rows = np.arange(len(own.images))
    codes = {"mean": found["code"], "std": found["std"], "rows": rows}
    if own.files is not None:
        codes["files"] = own.files
    return codes, own.notes
