"""The codes of a run's images, with what leads back to the images."""

import functools
import pathlib
from collections.abc import Mapping

import numpy as np

from vae_jax.data.examples import take
from vae_jax.evaluation.data import Split
from vae_jax.paths import PathLike
from vae_jax.runs.opened import Run
from vae_jax.runs.own_images import read_images
from vae_jax.runs.run_data import split_of
from vae_jax.storage.code_files import Codes


def codes_of_split(run: Run, split: str, data_dir: PathLike | None = None) -> Codes:
    """The posterior of every image of a split.

    Args:
        run: a trained run.
        split: "train", "validation" or "test".
        data_dir: where the data lie, if they have moved.

    Returns:
        `mean` and `std` [N, D] of q(z | x), see `FirstLayer`; `rows` [N], where each
        image stands in its split of the source; of discrete codes `index` [N, S], the
        number of the code at each of S sites; and, where the data have them,
        `labels`, `factors` with `factor_names`, `files` and `class_names`.
        `storage.code_files.columns` makes a table of them.
    """
    dataset = run.dataset(data_dir)
    images = split_of(run.config, dataset, run.inputs, split)
    mean, std = run.layer.means_and_stds(images)
    own = dataset.splits[split]
    known = {
        "labels": own.labels,
        "factors": own.factors,
        "factor_names": dataset.factor_names,
        "files": own.files,
        "class_names": dataset.class_names,
    }
    codes = {"mean": mean, "std": std, "rows": own.rows}
    if run.layer.is_quantized:
        codes["index"] = run.layer.indices(images)
    return codes | _there(known)


def codes_as_data(run: Run, data_dir: PathLike | None = None) -> dict[str, np.ndarray]:
    """The codes of all images of a run, as a data set for another one.

    Args:
        run: a trained run.
        data_dir: where the data lie, if they have moved.

    Returns:
        The arrays of an npz file that `data.npz.read_splits` reads, with the run's own
        splits: `x_train` [N, D], means of q(z | x), and, as far as they are known, the
        labels `y_train` [N], the factors `factors_train` [N, F] with `factor_names`;
        likewise for `validation` and `test`. Images that are binarised anew at each
        visit are encoded as their grey values, the mean of all draws: the noise of a
        single draw would stay in the data.
    """
    dataset = run.dataset(data_dir)
    config = run.config.copy_and_resolve_references()
    if config.data.binarize == "dynamic":
        config.data.binarize = "none"
    known: dict[str, object] = {"factor_names": dataset.factor_names}
    for split, own in dataset.splits.items():
        images = split_of(config, dataset, run.inputs, split)
        known[f"x_{split}"] = run.layer.means_and_stds(images)[0]
        known[f"y_{split}"], known[f"factors_{split}"] = own.labels, own.factors
    return _there(known)


def codes_of_images(run: Run, path: pathlib.Path) -> tuple[Codes, tuple[str, ...]]:
    """The posterior of images of a user's own.

    Args:
        run: a trained run.
        path: a folder, an image or an npz file, see `own_images.read_images`.

    Returns:
        `mean`, `std`, `rows` and `index` as of a split, and what else is known of them,
        as far as it is; and what was skipped or cut off, a phrase each.
    """
    own = read_images(run, path)
    # Not `means_and_stds`: of several layers it has other draws.
    found = run.reconstruct(own.examples)
    rows = np.arange(len(own.images))
    codes = {"mean": found["code"], "std": found["std"], "rows": rows}
    if run.layer.is_quantized:
        x = run.preprocess(own.examples)
        codes["index"] = run.layer.indices(Split(functools.partial(take, x), rows))
    names = ("labels", "factors", "factor_names", "files", "class_names")
    known = {name: getattr(own, name) for name in names}
    return codes | _there(known), own.notes


def _there(known: Mapping[str, object]) -> Codes:
    """The arrays of what is not None."""
    return {name: np.array(own) for name, own in known.items() if own is not None}
