"""From a config to objects: with traced.py, the only file that turns names into parts.

Everything else takes plain typed arguments. `configs/default.py` lists the fields.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from vae_jax import compatibility, fields, networks, suitability
from vae_jax.data.batches import Preprocess, preprocessor
from vae_jax.data.dataset import Dataset
from vae_jax.data.examples import inputs
from vae_jax.data.image_files import check_image_size
from vae_jax.data.labelled import with_few_labels
from vae_jax.data.sources import find, load_dataset, moved
from vae_jax.data.spec import ANY_DATA, DataSpec
from vae_jax.errors import ConfigError, VAEJaxError, choose
from vae_jax.evaluation import measures
from vae_jax.flat import flatten
from vae_jax.keys import root_key
from vae_jax.models.base import Chain
from vae_jax.models.conditional import CONDITIONS
from vae_jax.networks.mlp import MLPEncoder
from vae_jax.objectives import schedules
from vae_jax.parts import TABLES, call, make, names_of
from vae_jax.paths import PathLike
from vae_jax.storage import trackers
from vae_jax.traced import (
    flatten_members,
    for_objective,
    make_objective,
    traced_numbers,
)
from vae_jax.training.optimizers import SCHEDULES, normalize_each
from vae_jax.training.state import scale_by_hparam
from vae_jax.training.step import Trainer, vae_trainer

# Fields of `config.data` that say which data set is loaded.
LOADING_FIELDS = (
    "name",
    "dir",
    "seed",
    "validation_fraction",
    "test_fraction",
    "image_size",
    "grayscale",
    "num_labelled",
)
# Those that nothing below reads, but a training does.
READ_LATER = (
    *(f"data.{name}" for name in LOADING_FIELDS),
    "train.init_from",
    "eval.figures",
)
BINARIZE = ("none", "threshold", "dynamic")


def check(config: ConfigDict, *others: ConfigDict) -> None:
    """Checks names, ranges and what goes together before anything is loaded or written.

    Sections of parts that are not chosen are checked, too.

    Args:
        config: all fields of configs/default.py.
        *others: further members of the same program, which differ from it in the seed
            and in traced numbers alone; what all share is checked once.

    Raises:
        ConfigError: names the field, its value and what is valid.
    """
    try:
        _check(config, others)
    except VAEJaxError:
        raise
    except (AttributeError, KeyError) as error:
        field = str(error).strip("\"'")
        raise ConfigError(
            f"the config has no field {field!r}, which this version of vae_jax reads"
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the config has a value of the wrong type ({error})"
        ) from error


def _check(config: ConfigDict, others: Sequence[ConfigDict]) -> None:
    """As `check`, but for fields that are missing or of another type."""
    flat = flatten(config.to_dict())
    for field in READ_LATER:
        if field not in flat:
            raise KeyError(field)
    fields.check(flat)
    check_image_size(config.data.image_size or None)
    choose(BINARIZE, "data.binarize", config.data.binarize)
    measures.selected(config.eval.measures)
    trackers.selected(config.train.trackers)
    # The images' levels are not known yet: `suitability.check_data` asks again.
    suitability.values_of(config.data.binarize, config.data.dequantize, "8bit")
    parts, names = make_parts(config, ANY_DATA), names_of(config)
    compatibility.check_labels(config.model.name, inputs(parts["model"]), config.data)
    at_least = parts["objective"].min_batch_size
    if config.data.batch_size < at_least:
        raise ConfigError(
            f"data.batch_size={config.data.batch_size}: must be at least {at_least}"
            f" with objective.name={config.objective.name}, which compares the examples"
            " of a batch"
        )
    make_optimizer(config)
    choose(schedules.BY_NAME, "objective.schedule", config.objective.schedule)
    for member in itertools.islice(flatten_members([config, *others]), 1, None):
        fields.check_traced(member)  # those of the first are checked above
    traced_numbers([config, *others])
    given = parts | for_objective(config, ANY_DATA) | _for_optimizer(config)
    for field, table in TABLES.items():
        for name in table:
            if name in config and name != names[field]:
                make(config, field, given, name)
    wish = fields.keeps_best(flat)
    if wish and not compatibility.has_density(parts["posterior"]):
        raise ConfigError(
            f"{wish} compares ELBOs, but model.posterior={names['model.posterior']}"
            " has none"
        )


def make_parts(config: ConfigDict, spec: DataSpec) -> dict[str, Any]:
    """What a config is made of, for data of one form: made once and handed on.

    Args:
        config: all fields of configs/default.py.
        spec: form of the data.

    Returns:
        By name `model`, `objective`, the parts of the model, and the arguments that
        its parts may take.

    Raises:
        ConfigError: a part is wrong, or parts do not go together.
    """
    model = config.model
    parts = {**vars(spec), **model}
    parts["labelled_batch_size"] = config.data.labelled_batch_size
    parts["activation"] = choose(
        networks.ACTIVATIONS, "model.activation", model.activation
    )
    parts["dtype"] = choose(networks.DTYPES, "model.dtype", model.dtype)
    choose(CONDITIONS, "model.condition", model.condition)
    likelihood = parts["likelihood"] = make(config, "model.likelihood", parts)
    height, width, channels = spec.image_shape
    parts["output_shape"] = (height, width, likelihood.num_features(channels))
    encoder, decoder = make(config, "model.network", parts)
    parts["features"] = encoder
    posterior = parts["posterior"] = make(config, "model.posterior", parts)
    parts["encoder"] = Chain([encoder, posterior])
    parts["decoder"] = Chain([decoder, likelihood])

    def make_prior(latent_dim: int) -> nn.Module:
        return make(config, "model.prior", parts | {"latent_dim": latent_dim})

    def make_mlp(hidden_dims: Sequence[int], norm: str = "none") -> nn.Module:
        return MLPEncoder(hidden_dims, parts["activation"], parts["dtype"], norm)

    parts |= {"make_prior": make_prior, "make_mlp": make_mlp}
    parts["prior"] = make_prior(model.latent_dim)
    parts["model"] = make(config, "model.name", parts)
    parts["objective"] = make_objective(config, spec)
    compatibility.check_parts(names_of(config), parts)
    return parts


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Gradient clipping, the optimiser, its schedule, and the traced learning rate."""
    optimizer, given = config.optimizer, _for_optimizer(config)
    links: list[optax.GradientTransformation] = []
    if optimizer.clip_norm:
        links.append(optax.clip_by_global_norm(optimizer.clip_norm))
    if optimizer.normalize:
        links.append(normalize_each())
    links.append(make(config, "optimizer.name", given))
    schedule = choose(SCHEDULES, "optimizer.schedule", optimizer.schedule)
    links.append(call(schedule, "optimizer.schedule", optimizer.schedule, {}, given))
    return optax.chain(*links, scale_by_hparam("learning_rate"))


def make_trainer(config: ConfigDict, parts: Mapping[str, Any]) -> Trainer:
    """The init, step and loss of a config, of the parts that `make_parts` made."""
    objective, shape = parts["objective"], config.objective.schedule
    return vae_trainer(
        parts["model"],
        objective,
        make_optimizer(config),
        num_samples=config.objective.num_samples,
        schedule=schedules.scale(
            objective.scheduled,
            choose(schedules.BY_NAME, "objective.schedule", shape),
        ),
        ema_decay=config.optimizer.ema_decay or None,
        skip_norm=config.optimizer.skip_norm or None,
    )


def make_preprocess(config: ConfigDict, of_pixels: bool = False) -> Preprocess:
    """The function from stored examples to model input.

    Args:
        config: its data part is read.
        of_pixels: whether it is given pixels, as those of a user's own images, even
            where the source of the run stores factors that images are drawn from.
    """
    render = None if of_pixels else find(config.data.name).render
    return preprocessor(config.data.binarize, config.data.dequantize, render)


def make_dataset(config: ConfigDict, data_dir: PathLike | None = None) -> Dataset:
    """Loads the images, with as many labels as `data.num_labelled` says.

    Args:
        config: config of which `LOADING_FIELDS` are read.
        data_dir: where the data lie now, if not where the config says: see
            `sources.moved`.

    Raises:
        VAEJaxError: they can't be read.
    """
    data = config.data
    dataset = load_dataset(
        moved(data.name, data_dir) if data_dir else data.name,
        data_dir=data_dir or data.dir or None,
        seed=data.seed,
        validation_fraction=data.validation_fraction,
        test_fraction=data.test_fraction,
        image_size=data.image_size or None,
        grayscale=data.grayscale,
    )
    dataset = dataclasses.replace(dataset, name=data.name)
    if data.num_labelled:
        dataset = with_few_labels(dataset, data.num_labelled, data.seed)
    return dataset


def keeps_best(config: ConfigDict) -> bool:
    """Whether training keeps the parameters of the best validation ELBO."""
    return fields.keeps_best(flatten(config.to_dict())) is not None


def run_key(config: ConfigDict) -> jax.Array:
    """The root key of a run: initialisation and latent noise."""
    return root_key(config.seed)


def run_keys(configs: Sequence[ConfigDict]) -> jax.Array:
    """The root keys of several runs, [M]; each is that of `run_key`."""
    return jax.vmap(root_key)(np.array([c.seed for c in configs], np.uint32))


def data_key(config: ConfigDict) -> jax.Array:
    """The root key of everything drawn for the data."""
    return root_key(config.data.seed)


def _for_optimizer(config: ConfigDict) -> dict[str, object]:
    return {**config.optimizer, "num_steps": config.train.num_steps}
