"""Which data suit a config: their values, their labels, their channels."""

import pathlib
from collections.abc import Mapping
from typing import Any

from vae_jax import likelihoods
from vae_jax.data.batches import groups_of
from vae_jax.data.dataset import Dataset
from vae_jax.data.examples import IMAGE, inputs
from vae_jax.data.labels import why_not_all_labelled
from vae_jax.data.spec import DataSpec
from vae_jax.errors import ConfigError, DataError
from vae_jax.fields import Config

FEWEST_LABELS = 4.0  # of a batch on average, where 2 % of the batches have none


def check_data(config: Any, parts: Mapping[str, Any], dataset: Dataset) -> None:
    """Refuses data that do not suit a config and the parts that it is made of.

    `check_condition` comes before, as the parts of a conditional model are made for the
    number of its labels.

    Args:
        config: a `ConfigDict` with all fields of configs/default.py.
        parts: the objects `model`, `likelihood` and `prior`.
        dataset: the data.

    Raises:
        VAEJaxError: says what to set.
    """
    data, model, levels = config.data, config.model, dataset.levels
    given = ("image", "label") if data.labelled_batch_size else IMAGE
    groups_of(
        dataset.examples("train", given), data.batch_size, data.labelled_batch_size
    )
    if "label" in inputs(parts["model"]):
        _check_labels_of_batches(data, dataset)
    support = getattr(parts["likelihood"], "support", None)
    check_values(model.likelihood, support, data, levels)
    if levels == "real" and getattr(parts["prior"], "needs_pixels", False):
        raise ConfigError(
            f"model.prior={model.prior} learns images with values in [0, 1], but the"
            " data are rows of real numbers: set model.prior=mixture or standard_normal"
        )
    if config.eval.figures and (why_not := dataset.spec.why_no_pictures):
        raise ConfigError(
            f"eval.figures=True draws pictures, but {why_not}: set eval.figures=False"
        )


def _check_labels_of_batches(data: Any, dataset: Dataset) -> None:
    """A loss of labelled rows would count for less than its weight says."""
    is_labelled = dataset.examples("train", ("label",))["label"] >= 0
    if data.labelled_batch_size or is_labelled.all():
        return
    found = data.batch_size * is_labelled.mean()
    if found < FEWEST_LABELS:
        raise ConfigError(
            f"data.labelled_batch_size=0: a batch of {data.batch_size} would have"
            f" {found:.2g} labelled images on average, and many would have none: set"
            " how many each batch is to have"
        )


def values_of(binarize: str, dequantize: bool, levels: str) -> str:
    """The values of x: "binary", "8bit", "unit" (any in [0, 1]) or "real" (any).

    Args:
        binarize: `data.binarize` of a config.
        dequantize: `data.dequantize`: x = (v + u) / 256 with noise u in [0, 1) spreads
            each of 256 levels v over a bin of its own, so there must be such levels.
        levels: values of the stored images, see `Dataset.levels`.

    Raises:
        ConfigError: real numbers are to be binarised, or noise is to be added to
            values other than 8-bit levels.
    """
    if binarize != "none" and levels == "real":
        raise ConfigError(
            f"data.binarize={binarize} turns pixels black or white, but the data are"
            " rows of real numbers: set data.binarize=none"
        )
    if dequantize and binarize != "none":
        raise ConfigError(
            f"data.dequantize=True with data.binarize={binarize}: binary values have no"
            " levels to dequantise; set data.dequantize=False, or data.binarize=none"
        )
    if dequantize and levels != "8bit":
        raise ConfigError(
            f"data.dequantize=True needs 8-bit levels, but the values are {levels}: set"
            " data.dequantize=False"
        )
    if binarize != "none":
        return "binary"
    return "unit" if dequantize or levels == "float" else levels


def suits(support: str | None, values: str) -> bool:
    """Whether a likelihood is a distribution over such values.

    A density of binary values would be infinite, so those have likelihoods of their
    own; 8-bit levels may be taken for real numbers.

    Args:
        support: support of the likelihood; None if it does not say.
        values: "binary", "8bit", "unit" or "real", as `values_of` gives.
    """
    if support in ("unit", "real") and values in ("8bit", "unit"):
        return True
    return support is None or support == values


def check_values(name: str, support: str | None, data: Config, levels: str) -> None:
    """Refuses a likelihood that is not a distribution over the data's values.

    Args:
        name: name of the likelihood, for messages.
        support: support of the likelihood; None if it does not say.
        data: the part `data` of a config: `name`, `binarize` and `dequantize`.
        levels: values of the stored images, see `Dataset.levels`.

    Raises:
        ConfigError: says what to set.
    """
    binarize, dequantize = data["binarize"], data["dequantize"]
    values = values_of(binarize, dequantize, levels)
    if suits(support, values):
        return
    others = [
        other
        for other, part in likelihoods.BY_NAME.items()
        if (own := getattr(part, "support", None)) and suits(own, values)
    ]
    ways = [f"model.likelihood={' or '.join(others)}"]
    if values == "binary":
        because = f"data.binarize={binarize}"
        if binarize != "none" and levels != "binary":
            ways.append("data.binarize=none for grey images")
    elif values == "real":
        because = "rows of real numbers"
    else:
        because = f"{levels} images, data.dequantize={dequantize}"
        if support == "binary":
            ways.insert(0, "data.binarize=dynamic (or threshold)")
        elif dequantize:
            ways.insert(0, "data.dequantize=False")
    raise ConfigError(
        f"model.likelihood={name} is for {support} values, but those of"
        f" {data['name']} are {values} ({because}): set {', or '.join(ways)}"
    )


def check_condition(condition: str, dataset: Dataset) -> None:
    """Refuses data that lack what a model is to be given with each image.

    Args:
        condition: `model.condition` of a config: "none" or "label".
        dataset: the data.

    Raises:
        DataError: says what is missing.
    """
    if condition == "none":
        return
    why_not = dataset.why_no_classes
    if why_not is None and dataset.classes is not None:
        why_not = why_not_all_labelled(dataset.classes)
    if why_not:
        raise DataError(
            f"{dataset.name}: model.condition={condition} needs a label of every image,"
            f" but {why_not}"
        )


def check_picture(out: pathlib.Path, spec: DataSpec) -> None:
    """Refuses a picture as the file for what a run draws, where there can be none.

    Args:
        out: the file of a program's flag --out.
        spec: the form of the run's data.

    Raises:
        ConfigError: it ends in .png, and the data can't be drawn.
    """
    if out.suffix == ".png" and (why_not := spec.why_no_pictures):
        raise ConfigError(f"--out={out}: no picture, since {why_not}: write FILE.npz")
