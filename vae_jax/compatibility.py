"""Which parts go together: rules over what the parts say of themselves.

A part without such attributes counts as the usual kind: a diagonal normal posterior, a
model with a single latent layer, a likelihood of any values.
"""

from collections.abc import Mapping
from typing import Any

from vae_jax import models, posteriors, priors
from vae_jax.data.examples import Inputs
from vae_jax.distributions import DiagonalNormal, Quantized
from vae_jax.distributions.base import BaseDistribution
from vae_jax.errors import ConfigError
from vae_jax.fields import Config
from vae_jax.models.base import takes
from vae_jax.objectives.base import Objective
from vae_jax.parts import TABLES, arguments_of


def check_parts(names: Mapping[str, str], parts: Mapping[str, Any]) -> None:
    """Refuses parts of a model, and an objective, that do not go together.

    Args:
        names: field -> name of the part, for messages: {"model.prior": "vamp", ...}.
        parts: the objects `features` (the encoder's network), `posterior`, `prior`
            and, made of them, `model`; the `objective`; and the name of the
            `condition`.

    Raises:
        ConfigError: names the two fields, and what to set.
    """
    posterior, prior, model = (parts[n] for n in ("posterior", "prior", "model"))
    objective: Objective = parts["objective"]
    given = {field: f"{field}={name}" for field, name in names.items()}
    for field in getattr(model, "ignores", ()):
        usual = next(iter(TABLES[field]))
        if names[field] != usual:
            raise ConfigError(
                f"{given[field]} has no effect with {given['model.name']}, which has"
                f" its own: leave it at {usual}"
            )
    _check_condition(parts, given)
    if objective.needs_density and not has_density(posterior):
        raise ConfigError(
            f"{given['objective.name']} weighs draws by the posterior's density, but"
            f" {given['model.posterior']} has none: set objective.name=elbo"
        )
    discrete = is_discrete(_distribution(posterior))
    if is_discrete(prior) != discrete:
        kind = "continuous" if discrete else "discrete"
        wanted = [n for n, p in priors.BY_NAME.items() if is_discrete(p) == discrete]
        ways = f"model.prior={' or '.join(wanted)}"
        if not discrete:
            ways += f", or model.posterior={' or '.join(_giving(Quantized))}"
        raise ConfigError(
            f"{given['model.prior']} is of {kind} codes, and those of"
            f" {given['model.posterior']} are not: set {ways}"
        )
    if getattr(parts["features"], "spatial", False) and not discrete:
        raise ConfigError(
            f"{given['model.network']} with {names['model.network']}.spatial=True gives"
            f" codes of several axes, and {given['model.prior']} is of rows: set"
            f" {names['model.network']}.spatial=False, or model.prior=uniform with"
            f" model.posterior={' or '.join(_giving(Quantized))}"
        )
    needing = {"model.prior": prior, "model.name": model, "objective.name": objective}
    for field, part in needing.items():
        needed = getattr(part, "needs_posterior", object)
        if not issubclass(_distribution(posterior), needed):
            raise ConfigError(
                f"{given[field]} needs model.posterior={' or '.join(_giving(needed))},"
                f" not {names['model.posterior']}"
            )
    if getattr(model, "draws_without_gradient", False) and not objective.needs_extras:
        raise ConfigError(
            f"{given['objective.name']} would not train all of"
            f" {given['model.name']}, whose draws of a class pass on no gradient: set"
            " objective.name=semi_supervised"
        )
    if missing := set(objective.needs_extras) - _extras(model):
        giving = [n for n, part in models.BY_NAME.items() if missing <= _extras(part)]
        raise ConfigError(
            f"{given['objective.name']} needs model.name={' or '.join(giving)}, not"
            f" {names['model.name']}"
        )
    if num_layers(model) > 1 and objective.one_layer:
        raise ConfigError(
            f"{given['model.name']} with {given['objective.name']}, which is for one"
            " latent layer: set objective.name=elbo or iwae"
        )
    if getattr(prior, "contains_encoder", False):
        if num_layers(model) > 1:
            raise ConfigError(
                f"{given['model.name']} with {given['model.prior']}: pseudo-inputs are"
                " images and have no code of the top layer; set"
                " model.prior=standard_normal or mixture"
            )
        if objective.splits_encoder:
            raise ConfigError(
                f"{given['objective.name']} keeps the encoder apart from the prior, and"
                f" {given['model.prior']} contains it: set objective.name=iwae"
            )


def check_labels(name: str, inputs: Inputs, data: Config) -> None:
    """Refuses settings of labels for a model that is given none.

    Args:
        name: name of the model, for messages.
        inputs: the parts of x for the model, from `examples.inputs`.
        data: the part `data` of a config.

    Raises:
        ConfigError: names the field.
    """
    for field in ("num_labelled", "labelled_batch_size"):
        if data[field] and "label" not in inputs:
            raise ConfigError(
                f"data.{field}={data[field]} has no effect with model.name={name},"
                " which is given no labels: leave it at 0, or set model.name=m2"
            )


def _check_condition(parts: Mapping[str, Any], given: Mapping[str, str]) -> None:
    """Refuses what does not go together with a condition, or with none.

    Args:
        parts: those of `check_parts`, and the name of the `condition`.
        given: field -> "field=name".

    Raises:
        ConfigError: names the two fields, and what to set.
    """
    prior, condition = parts["prior"], f"model.condition={parts['condition']}"
    is_conditional = hasattr(parts["model"], "conditions_on")
    if parts["condition"] != "none" and not is_conditional:
        able = [n for n, p in models.BY_NAME.items() if "condition" in arguments_of(p)]
        raise ConfigError(
            f"{condition} needs model.name={' or '.join(able)}, not"
            f" {given['model.name'].partition('=')[2]}"
        )
    if takes(prior, "label") and not is_conditional:
        raise ConfigError(
            f"{given['model.prior']} is of the label of each image, which the model is"
            f" not given: set model.condition=label, or model.prior=standard_normal"
        )
    if getattr(prior, "contains_encoder", False) and is_conditional:
        others = [
            name
            for name, part in priors.BY_NAME.items()
            if not getattr(part, "contains_encoder", False)
        ]
        raise ConfigError(
            f"{given['model.prior']} asks the encoder about images without a label, and"
            f" with {condition} it needs one: set model.prior={' or '.join(others)}, or"
            " model.condition=none"
        )


def has_density(posterior: object) -> bool:
    """Whether the posterior is a density rather than a point mass."""
    return _distribution(posterior).has_density


def is_discrete(part: object) -> bool:
    """Whether a distribution, or a prior, is of discrete codes."""
    return getattr(part, "support", "real") == Quantized.support


def num_layers(model: object) -> int:
    """How many latent layers a model has."""
    return getattr(model, "num_layers", 1)


def _distribution(posterior: object) -> type[BaseDistribution]:
    return getattr(posterior, "distribution", DiagonalNormal)


def _extras(model: object) -> set[str]:
    """What a model measures beside its output."""
    return set(getattr(model, "gives_extras", ()))


def _giving(needed: type) -> list[str]:
    """The names of the posteriors that give such a distribution."""
    return [
        name
        for name, part in posteriors.BY_NAME.items()
        if issubclass(getattr(part, "distribution", object), needed)
    ]
