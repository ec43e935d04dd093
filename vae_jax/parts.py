"""How a part that a config names is made.

A part is made by the constructor that a table holds under its name. Each of the
constructor's arguments is, by its name: a field of the section of that name in the
config (`config.mixture.num_components` for the prior `mixture`), if there is one; or a
value shared by all parts: a field of the data's `DataSpec`; for parts of a model, a
field of `config.model` and what is made of them (`likelihood`, `output_shape`,
`posterior`, `features`, the encoder without it, `encoder`, `decoder`, `prior`,
`make_prior`, `make_mlp`); for an objective, a field of `config.objective`; for an
optimiser, one of `config.optimizer`, and `num_steps`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vae_jax import likelihoods, models, networks, objectives, posteriors, priors
from vae_jax.errors import ConfigError, choose, did_you_mean
from vae_jax.fields import Config
from vae_jax.training import optimizers

Made = TypeVar("Made")
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

# From the field that names a part to what there is. A module that is imported may add
# lines to a table.
TABLES: Mapping[str, Mapping[str, Any]] = {
    "model.name": models.BY_NAME,
    "model.network": networks.BY_NAME,
    "model.posterior": posteriors.BY_NAME,
    "model.prior": priors.BY_NAME,
    "model.likelihood": likelihoods.BY_NAME,
    "objective.name": objectives.BY_NAME,
    "optimizer.name": optimizers.BY_NAME,
}


def names_of(config: Config) -> dict[str, str]:
    """The names of the parts that a config chooses, by field."""
    splits = {field: field.split(".") for field in TABLES}
    return {field: config[part][name] for field, (part, name) in splits.items()}


def make(
    config: Config, field: str, given: Mapping[str, object], name: str | None = None
) -> Any:
    """A part, made by the constructor that a table holds under its name.

    Args:
        config: holds the name of the part and, perhaps, a section of that name.
        field: which part it is, a key of TABLES.
        given: values that a constructor may take, by the names of its arguments.
        name: name of the part; None means the one that the config names.

    Returns:
        The part; for a network the pair of its encoder and its decoder.

    Raises:
        ConfigError: there is no part of that name, or an argument is wrong or missing.
    """
    part, _, key = field.partition(".")
    name = config[part][key] if name is None else name
    advice = "One of your own needs --import=MODULE."
    constructor = choose(TABLES[field], field, name, advice)
    section = {
        argument: tuple(value) if isinstance(value, list) else value
        for argument, value in (config[name] if name in config else {}).items()
    }
    if not isinstance(constructor, networks.Network):
        return call(constructor, field, name, section, given)
    mirrored = {a: v[::-1] if isinstance(v, tuple) else v for a, v in section.items()}
    return (
        call(constructor.encoder, field, name, section, given),
        call(constructor.decoder, field, name, mirrored, given),
    )


def call(
    constructor: Callable[..., Made],
    field: str,
    name: str,
    section: Mapping[str, object],
    given: Mapping[str, object],
) -> Made:
    """Calls a constructor with its section and the other arguments it takes.

    Args:
        constructor: function or class that makes the part.
        field: which part it is, for messages.
        name: name of the part, for messages.
        section: arguments that the config gives.
        given: other values that the constructor may take, by name.

    Returns:
        The part.

    Raises:
        ConfigError: an argument is wrong, missing or unknown; names the whole field.
    """
    parameters = arguments_of(constructor)
    kinds = {parameter.kind for parameter in parameters.values()}
    for argument in section:
        if argument not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
            raise ConfigError(
                f"{name}.{argument}: {name} has no such argument."
                f"{did_you_mean(argument, parameters)}"
            )
    # `name` is the part's own in a config, and that of a submodule in Flax.
    asked = [argument for argument in parameters if argument in given.keys() - {"name"}]
    arguments = {**{argument: given[argument] for argument in asked}, **section}
    for argument, parameter in parameters.items():
        must = parameter.default is parameter.empty and parameter.kind not in VARIABLE
        if must and argument not in arguments:
            raise ConfigError(
                f"{field}={name} needs {name}.{argument}, which the config lacks"
            )
    try:
        return constructor(**arguments)
    except ConfigError as error:  # it begins with the argument's name
        argument = str(error).replace(" ", "=").partition("=")[0]
        owner = name if argument in section else field.partition(".")[0]
        raise ConfigError(f"{owner}.{error}") from error


@functools.cache
def arguments_of(constructor: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """The arguments that a constructor may be given, by name."""
    return inspect.signature(constructor).parameters
