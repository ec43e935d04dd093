"""From a config to objects: the only file that reads a ConfigDict's model part.

Everything else takes plain typed arguments. `configs/default.py` lists the fields.
"""

import difflib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from vae_jax import likelihoods, posteriors, priors
from vae_jax.data.batches import Preprocess, preprocessor
from vae_jax.data.image_files import check_image_size
from vae_jax.data.sources import Dataset, load_dataset
from vae_jax.errors import ConfigError
from vae_jax.evaluation import measures
from vae_jax.models.hierarchical import HierarchicalVAE
from vae_jax.models.vae import VAE
from vae_jax.networks import conv, gated, mlp
from vae_jax.objectives import bounds, elbo, schedules
from vae_jax.training.optimizers import normalize_each, scale_by_adam, stages
from vae_jax.training.state import make_hparams, scale_by_hparam
from vae_jax.training.step import Trainer, vae_trainer
from vae_jax.types import Hparams

T = TypeVar("T")

# Config fields that the step takes as traced numbers: runs that differ only in these
# (and in the seed) are members of one compiled program.
TRACED_FIELDS: Mapping[str, str] = {
    "objective.kl_weight": "kl_weight",
    "objective.warmup_steps": "warmup_steps",
    "objective.free_nats": "free_nats",
    "objective.capacity": "capacity",
    "optimizer.learning_rate": "learning_rate",
}

ACTIVATIONS: Mapping[str, Callable] = {
    "gelu": nn.gelu,
    "relu": nn.relu,
    "tanh": nn.tanh,
    "silu": nn.silu,
    "elu": nn.elu,
    "softplus": nn.softplus,
}
# In which networks compute. Parameters, codes, losses and likelihoods are float32.
DTYPES: Mapping[str, Any] = {"float32": None, "bfloat16": jnp.bfloat16}
# From the part `objective` of a config to the function that is minimised.
OBJECTIVES: Mapping[str, Callable[[ConfigDict], Any]] = {
    "elbo": lambda _: elbo.elbo_loss,
    "capacity": lambda _: elbo.capacity_loss,
    "elbo_mc": lambda _: bounds.elbo_mc,
    "stl": lambda _: bounds.stl,
    "iwae": lambda _: bounds.iwae,
    "dreg": lambda _: bounds.dreg,
    "miwae": lambda objective: bounds.miwae(objective.num_groups),
    "piwae": lambda objective: bounds.piwae(objective.num_groups),
    "ciwae": lambda objective: bounds.ciwae(objective.elbo_share),
    "renyi": lambda objective: bounds.renyi(objective.alpha),
}
WITHOUT_DENSITY = ("elbo", "capacity")  # objectives that a plain autoencoder has, too
# Traced numbers that one objective alone reads.
OF_OBJECTIVE: Mapping[str, str] = {"free_nats": "elbo", "capacity": "capacity"}
SPLIT = ("dreg", "piwae")  # objectives with different gradients for the two halves
SHAPES: Mapping[str, schedules.Shape] = {
    "constant": schedules.constant,
    "linear": schedules.linear,
    "sigmoid": schedules.sigmoid,
    "cyclical": schedules.cyclical,
}
# Which values of the data each likelihood is a distribution over.
SUPPORTS: Mapping[str, str] = {
    "bernoulli": "binary",
    "continuous_bernoulli": "grey",
    "normal": "grey",
    "laplace": "grey",
    "logistic": "8bit",
    "logistic_mixture": "8bit",
}


def choose(options: Mapping[str, T] | Sequence[str], field: str, value: str) -> Any:
    """The option called `value`; ConfigError with the nearest name if there is none."""
    if value in options:
        return options[value] if isinstance(options, Mapping) else value
    near = difflib.get_close_matches(str(value), list(options), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{field}={value!r}: must be one of {', '.join(options)}.{hint}")


def check(config: ConfigDict) -> None:
    """Checks every number's range before anything is loaded or written.

    Raises:
        ConfigError: names the field, its value and what is valid.
    """
    positive = [
        "data.batch_size",
        "data.device_budget_mb",
        "model.latent_dim",
        "model.num_components",
        "model.prior_components",
        "model.flow_layers",
        "model.scale_value",
        "model.conv_hidden_dim",
        "objective.num_samples",
        "objective.num_groups",
        "optimizer.learning_rate",
        "optimizer.eps",
        "train.num_steps",
        "train.log_every",
        "train.max_to_keep",
        "eval.num_samples",
    ]
    not_negative = [
        "seed",
        "data.seed",
        "objective.kl_weight",
        "objective.warmup_steps",
        "objective.free_nats",
        "objective.capacity",
        "optimizer.weight_decay",
        "optimizer.clip_norm",
        "optimizer.second_moment",
        "train.eval_every",
        "train.checkpoint_every",
        "train.patience",
    ]
    fractions = [
        "data.validation_fraction",
        "data.test_fraction",
        "optimizer.b1",
        "optimizer.b2",
        "optimizer.ema_decay",
    ]
    flat = flatten(config.to_dict())
    for field in positive:
        if not (math.isfinite(flat[field]) and flat[field] > 0):
            raise ConfigError(f"{field}={flat[field]}: must be a number above 0")
    for field in not_negative:
        if not (math.isfinite(flat[field]) and flat[field] >= 0):
            raise ConfigError(f"{field}={flat[field]}: must be 0 or a number above 0")
    for field in ("seed", "data.seed"):
        if flat[field] >= 2**32:  # JAX would drop the higher bits
            raise ConfigError(f"{field}={flat[field]}: must be below 2**32")
    for field in fractions:
        if not 0 <= flat[field] < 1:
            raise ConfigError(f"{field}={flat[field]}: must be at least 0 and below 1")
    for field in (
        "model.hidden_dims",
        "model.channels",
        "model.upper_hidden_dims",
        "model.upper_latent_dims",
    ):
        empty = not flat[field] and field != "model.upper_latent_dims"
        if empty or not all(isinstance(n, int) and n > 0 for n in flat[field]):
            raise ConfigError(f"{field}={flat[field]}: must be whole numbers above 0")
    check_image_size(config.data.image_size or None)
    measures.selected(config.eval.measures)
    warmup = config.objective.warmup_steps
    if config.objective.schedule != "constant" and warmup > config.train.num_steps:
        raise ConfigError(
            f"objective.warmup_steps={warmup} is longer than"
            f" train.num_steps={config.train.num_steps}: the schedule would never end"
        )
    if config.objective.schedule == "constant" and warmup:
        raise ConfigError(
            f"objective.warmup_steps={warmup} has no effect with"
            " objective.schedule=constant: choose linear, sigmoid or cyclical"
        )
    if keeps_best(config):
        field = "keep_best" if config.train.keep_best else "patience"
        wish = f"train.{field}={config.train[field]}"
        if not config.train.eval_every:
            raise ConfigError(
                f"{wish} compares evaluations during training: set train.eval_every"
                " above 0"
            )
        if config.model.posterior == "deterministic":
            raise ConfigError(
                f"{wish} compares ELBOs, which model.posterior=deterministic has not"
            )
    for name, reader in OF_OBJECTIVE.items():
        value = config.objective[name]
        if value and config.objective.name != reader:
            raise ConfigError(
                f"objective.{name}={value} has no effect with"
                f" objective.name={config.objective.name}: choose {reader}"
            )
    if config.optimizer.weight_decay and config.optimizer.name != "adamw":
        raise ConfigError(
            f"optimizer.weight_decay={config.optimizer.weight_decay} has no effect with"
            f" optimizer.name={config.optimizer.name}: choose adamw"
        )
    choose(("none", "threshold", "dynamic"), "data.binarize", config.data.binarize)
    # The images' levels are not known yet: `check_support` asks again.
    model_input(config.data.binarize, config.data.dequantize, levels="8bit")
    make_trainer(config, (8, 8, 1))  # the names of parts
    check_parts(config)


def check_parts(config: ConfigDict) -> None:
    """Refuses parts of a model that do not go together.

    Raises:
        ConfigError: names the two fields.
    """
    model, objective = config.model, config.objective
    upper = f"model.upper_latent_dims={tuple(model.upper_latent_dims)}"
    if model.posterior == "deterministic" and objective.name not in WITHOUT_DENSITY:
        raise ConfigError(
            f"objective.name={objective.name} weighs draws by the posterior's density,"
            " which model.posterior=deterministic has not: set objective.name=elbo"
        )
    if model.posterior != "diagonal_normal" and model.prior == "vamp":
        raise ConfigError(
            f"model.prior=vamp needs model.posterior=diagonal_normal, not"
            f" {model.posterior}"
        )
    if model.upper_latent_dims:
        if model.posterior != "diagonal_normal":
            raise ConfigError(
                f"{upper} needs model.posterior=diagonal_normal, not {model.posterior}"
            )
        if model.prior == "vamp":
            raise ConfigError(
                f"{upper} with model.prior=vamp: pseudo-inputs are images and have no"
                " code of the top layer; set model.prior=standard_normal or mixture"
            )
        if objective.name == "dreg":
            raise ConfigError(
                f"{upper} with objective.name=dreg: its gradient is for one latent"
                " layer; set objective.name=iwae"
            )
    if model.prior == "vamp" and objective.name in SPLIT:
        raise ConfigError(
            f"objective.name={objective.name} keeps the encoder apart from the prior,"
            " and model.prior=vamp contains it: set objective.name=iwae"
        )
    if not 0 <= objective.elbo_share <= 1:
        raise ConfigError(
            f"objective.elbo_share={objective.elbo_share}: must be between 0 and 1"
        )
    if not math.isfinite(objective.alpha):
        raise ConfigError(f"objective.alpha={objective.alpha}: must be a finite number")
    if objective.num_samples % objective.num_groups:
        raise ConfigError(
            f"objective.num_groups={objective.num_groups}: must divide"
            f" objective.num_samples={objective.num_samples}"
        )


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def make_dataset(config: ConfigDict) -> Dataset:
    """Loads the images and checks that the config suits them."""
    data = config.data
    dataset = load_dataset(
        data.name,
        data_dir=data.dir or None,
        seed=data.seed,
        validation_fraction=data.validation_fraction,
        test_fraction=data.test_fraction,
        image_size=data.image_size or None,
        grayscale=data.grayscale,
    )
    size = len(dataset.train.images)
    if data.batch_size > size:
        raise ConfigError(
            f"data.batch_size={data.batch_size} is larger than the training split of"
            f" {data.name} with {size} images"
        )
    check_support(config, dataset.levels)
    check_evaluation(config, dataset)
    return dataset


def check_support(config: ConfigDict, levels: str) -> None:
    """Refuses a likelihood that is no distribution over the data's values.

    Args:
        config: its data and model parts are read.
        levels: of the stored images: "binary", "8bit" or "float".

    Raises:
        ConfigError: says what to set.
    """
    data, likelihood = config.data, config.model.likelihood
    support = choose(SUPPORTS, "model.likelihood", likelihood)
    values = model_input(data.binarize, data.dequantize, levels)
    if support == "binary" and values != "binary":
        raise ConfigError(
            f"model.likelihood={likelihood} needs binary values, but"
            f" {data.name} has grey ones: set data.binarize=dynamic (or"
            " threshold), or model.likelihood=continuous_bernoulli"
        )
    if support != "binary" and values == "binary":
        grey = "" if levels == "binary" else ", or data.binarize=none for grey images"
        raise ConfigError(
            f"model.likelihood={likelihood} is over {support} values, but the data"
            f" are binary (data.binarize={data.binarize}): set"
            f" model.likelihood=bernoulli{grey}"
        )
    if support == "8bit" and values != "8bit":
        whole = "data.dequantize=False, or " if data.dequantize else ""
        raise ConfigError(
            f"model.likelihood={likelihood} is over 8-bit levels, but the data are"
            f" continuous (data.dequantize={data.dequantize}, {levels} images): set"
            f" {whole}model.likelihood=normal (or laplace, continuous_bernoulli)"
        )


def model_input(binarize: str, dequantize: bool, levels: str) -> str:
    """What values the model is given: "binary", "8bit" or "continuous" in [0, 1].

    Args:
        binarize: `data.binarize` of a config.
        dequantize: `data.dequantize`: x = (v + u) / 256 with noise u in [0, 1) spreads
            each of 256 levels v over a bin of its own, so there must be such levels.
        levels: of the stored images: "binary", "8bit" or "float".

    Raises:
        ConfigError: noise is to be added to values that are no 8-bit levels.
    """
    if dequantize and binarize != "none":
        raise ConfigError(
            f"data.dequantize=True with data.binarize={binarize}: binary values have no"
            " levels to dequantise; set data.dequantize=False, or data.binarize=none"
        )
    if dequantize and levels != "8bit":
        raise ConfigError(
            f"data.dequantize=True needs 8-bit levels, but the images are {levels}: set"
            " data.dequantize=False"
        )
    if binarize != "none":
        return "binary"
    return "continuous" if dequantize or levels == "float" else levels


def check_evaluation(config: ConfigDict, dataset: Dataset) -> None:
    """Refuses, before training, images that could not be drawn after it.

    Raises:
        ConfigError: says what to change.
    """
    channels = dataset.image_shape[-1]
    if config.eval.figures and channels not in (1, 3):
        raise ConfigError(
            f"eval.figures=True draws images of 1 or 3 channels; {dataset.name} has"
            f" {channels}: set eval.figures=False"
        )


def keeps_best(config: ConfigDict) -> bool:
    """Whether training keeps the parameters of the best validation ELBO."""
    return config.train.keep_best or config.train.patience > 0


def make_preprocess(config: ConfigDict) -> Preprocess:
    """What turns stored images into model input."""
    return preprocessor(config.data.binarize, config.data.dequantize)


def make_model(config: ConfigDict, image_shape: Sequence[int]) -> VAE | HierarchicalVAE:
    """The model for images [H, W, C]."""
    model = config.model
    likelihood = make_likelihood(config)
    height, width, channels = image_shape
    output_shape = (height, width, likelihood.num_features(channels))
    encoder, decoder = make_networks(config, output_shape)
    posterior = choose(
        {
            "diagonal_normal": posteriors.DiagonalNormalPosterior,
            "deterministic": posteriors.DeterministicPosterior,
            "coupling_flow": functools.partial(
                posteriors.CouplingFlowPosterior, num_layers=model.flow_layers
            ),
        },
        "model.posterior",
        model.posterior,
    )
    encoder = nn.Sequential([encoder, posterior(model.latent_dim)])
    decoder = nn.Sequential([decoder, likelihood])
    dims = (model.latent_dim, *model.upper_latent_dims)
    priors_by_name: Mapping[str, Callable[[], nn.Module]] = {
        "standard_normal": lambda: priors.StandardNormal(dims[-1]),
        "mixture": lambda: priors.MixturePrior(dims[-1], model.prior_components),
        "vamp": lambda: priors.VampPrior(
            encoder, tuple(image_shape), model.prior_components
        ),
    }
    prior = choose(priors_by_name, "model.prior", model.prior)()
    if len(dims) == 1:
        return VAE(encoder=encoder, prior=prior, decoder=decoder)
    activation = choose(ACTIVATIONS, "model.activation", model.activation)
    widths = tuple(model.upper_hidden_dims)

    def normal(hidden_dims: Sequence[int], dim: int) -> nn.Module:
        return nn.Sequential(
            [
                mlp.MLPEncoder(hidden_dims, activation, DTYPES[model.dtype]),
                posteriors.DiagonalNormalPosterior(dim),
            ]
        )

    return HierarchicalVAE(
        encoders=[encoder, *(normal(widths, dim) for dim in dims[1:])],
        prior=prior,
        decoders=[decoder, *(normal(widths[::-1], dim) for dim in dims[:-1])],
    )


def make_networks(
    config: ConfigDict, output_shape: Sequence[int]
) -> tuple[nn.Module, nn.Module]:
    """The network of the encoder, and that of the decoder for outputs [H, W, F]."""
    model = config.model
    activation = choose(ACTIVATIONS, "model.activation", model.activation)
    sizes = tuple(model.hidden_dims)
    widths = tuple(model.channels)
    hidden = model.conv_hidden_dim
    dtype = choose(DTYPES, "model.dtype", model.dtype)
    networks: Mapping[str, Callable[[], tuple[nn.Module, nn.Module]]] = {
        "mlp": lambda: (
            mlp.MLPEncoder(sizes, activation, dtype),
            mlp.MLPDecoder(output_shape, sizes[::-1], activation, dtype),
        ),
        "gated": lambda: (
            gated.GatedMLPEncoder(sizes, dtype),
            gated.GatedMLPDecoder(output_shape, sizes[::-1], dtype),
        ),
        "conv": lambda: (
            conv.ConvEncoder(widths, hidden, activation, dtype),
            conv.ConvDecoder(output_shape, widths[::-1], hidden, activation, dtype),
        ),
    }
    return choose(networks, "model.network", model.network)()


def make_likelihood(config: ConfigDict) -> Any:
    """The last part of the decoder."""
    model = config.model
    scales = ["fixed", "learned", "per_pixel"]
    if model.likelihood == "normal":
        scales.append("optimal")
    scale = choose(scales, "model.scale", model.scale)
    builders: Mapping[str, Callable[[], nn.Module]] = {
        "bernoulli": likelihoods.BernoulliLikelihood,
        "continuous_bernoulli": likelihoods.ContinuousBernoulliLikelihood,
        "normal": lambda: likelihoods.NormalLikelihood(scale, model.scale_value),
        "laplace": lambda: likelihoods.LaplaceLikelihood(scale, model.scale_value),
        "logistic": likelihoods.LogisticLikelihood,
        "logistic_mixture": lambda: likelihoods.LogisticMixtureLikelihood(
            model.num_components
        ),
    }
    return choose(builders, "model.likelihood", model.likelihood)()


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Gradient clipping, the optimiser, its schedule, and the traced learning rate."""
    optimizer = config.optimizer
    adam = scale_by_adam(
        optimizer.b1, optimizer.b2, optimizer.eps, optimizer.second_moment
    )
    links: list[optax.GradientTransformation] = []
    if optimizer.clip_norm:
        links.append(optax.clip_by_global_norm(optimizer.clip_norm))
    if optimizer.normalize:
        links.append(normalize_each())
    links += choose(
        {
            "adam": [adam],
            "adamw": [adam, optax.add_decayed_weights(optimizer.weight_decay)],
            "sgd": [],
        },
        "optimizer.name",
        optimizer.name,
    )
    num_steps = config.train.num_steps
    factor = choose(
        {
            "constant": None,
            "cosine": optax.cosine_decay_schedule(1.0, num_steps),
            "stages": stages(num_steps),
        },
        "optimizer.schedule",
        optimizer.schedule,
    )
    if factor is not None:
        links.append(optax.scale_by_schedule(factor))
    return optax.chain(*links, scale_by_hparam("learning_rate"))


def make_trainer(config: ConfigDict, image_shape: Sequence[int]) -> Trainer:
    """The pair (init, step) of a config."""
    objective = config.objective
    loss = choose(OBJECTIVES, "objective.name", objective.name)(objective)
    shape = choose(SHAPES, "objective.schedule", objective.schedule)
    scaled = "capacity" if objective.name == "capacity" else "kl_weight"
    model = make_model(config, image_shape)
    return vae_trainer(
        model,
        loss,
        make_optimizer(config),
        num_samples=objective.num_samples,
        schedule=schedules.scale(scaled, shape),
        ema_decay=config.optimizer.ema_decay or None,
    )


def make_hparams_of(config: ConfigDict) -> Hparams:
    """The traced numbers of a config, []."""
    return jax.tree.map(lambda value: value[0], make_member_hparams([config]))


def make_member_hparams(configs: Sequence[ConfigDict]) -> Hparams:
    """The traced numbers of several configs that share a program, [M].

    Those that the objective does not read are left out; and free nats if no config has
    any: a floor on means over the whole batch is a sum over all devices that the
    gradients would have to wait for.
    """
    flats = [flatten(config.to_dict()) for config in configs]
    values = {n: [flat[f] for flat in flats] for f, n in TRACED_FIELDS.items()}
    for name, reader in OF_OBJECTIVE.items():
        if configs[0].objective.name != reader:
            del values[name]
    if not any(values.get("free_nats", ())):
        values.pop("free_nats", None)
    return make_hparams(**values)


def run_key(config: ConfigDict) -> jax.Array:
    """The root key of a run: initialisation and latent noise."""
    return jax.random.key(config.seed)


def data_key(config: ConfigDict) -> jax.Array:
    """The root key of everything drawn for the data."""
    return jax.random.key(config.data.seed)
