"""The end of a run: it is measured, its pictures are drawn, its results written."""

import pathlib
import threading
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset, to_unit_floats
from vae_jax.evaluation import measures
from vae_jax.evaluation.chunks import Progress
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.measures import Effort
from vae_jax.quantities import Group, Quantity, one
from vae_jax.runs import processes
from vae_jax.runs.best import Saved
from vae_jax.runs.pictures import latent_space
from vae_jax.storage.atomic import writing
from vae_jax.storage.records import write_json
from vae_jax.trained import Trained

_DRAWING = threading.Lock()  # Matplotlib is not thread-safe

RUN = Group("The run", drawn=False)
OF_RUN = (
    Quantity(
        "Step", "Training steps, after which the parameters were so.", one("step"), RUN
    ),
    Quantity(
        "Trained steps",
        "All training steps, where the best parameters were kept.",
        one("trained_steps"),
        RUN,
    ),
    Quantity("Parameters", "Numbers in the model.", one("num_parameters"), RUN),
    Quantity(
        "Training time",
        "Compilation included; in a grid, an equal share of the program's.",
        one("train_seconds"),
        RUN,
        unit="s",
    ),
    Quantity(
        "Images per second",
        "Steps times batch size over that time.",
        one("images_per_second"),
        RUN,
    ),
)


def finish(
    config: ConfigDict,
    dataset: Dataset,
    data: Data,
    saved: Saved,
    meta: Mapping[str, Any],
    workdir: pathlib.Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measures the model, draws the figures and writes results.json last.

    Of several processes all measure, each on its own, and the first writes.

    Args:
        config: of the run.
        dataset: its images.
        data: the same as measures are given them, possibly shared with other runs.
        saved: what the last checkpoint holds, on one device.
        meta: with `train_seconds`.
        workdir: where the results go.
        progress: called with examples evaluated and their total.

    Returns:
        The content of results.json.
    """
    key = build.run_key(config)
    model = build.make_model(config, dataset.image_shape)
    trained = Trained.of(model, saved.params)
    num_steps, seconds = int(saved.state.step), meta["train_seconds"]
    results = {
        "step": int(saved.step),
        **({} if saved.best is None else {"trained_steps": num_steps}),
        **measures.measure(
            config.eval.measures,
            trained,
            data,
            key,
            Effort(num_samples=config.eval.num_samples, progress=progress),
            on_undefined=log_undefined,
        ),
        "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(trained.params)),
        "train_seconds": seconds,
        "images_per_second": num_steps * config.data.batch_size / seconds,
    }
    if not processes.is_first():
        return results
    if config.eval.figures:
        from vae_jax.report import figures  # matplotlib delays the start of training

        with _DRAWING, writing(workdir / "figures"):
            space = latent_space(trained, data, key, _first_images(dataset))
            figures.draw_all(space, dataset.test.labels, workdir)
    write_json(workdir / "results.json", results)
    return results


def log_undefined(name: str, reason: str) -> None:
    """Says in the log why the numbers of a measure are null."""
    logging.info("the numbers of the measure %s are not defined: it %s", name, reason)


def quantities() -> list[Quantity]:
    """What all numbers of a results.json mean."""
    return [*measures.quantities(), *OF_RUN]


def _first_images(dataset: Dataset) -> np.ndarray:
    return to_unit_floats(dataset.test.images[:64])
