"""Errors that a user can fix: each carries one line that says how."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar, overload

T = TypeVar("T")


def one_line(text: str) -> str:
    """The text with line breaks, control codes and the like escaped as `repr` does.

    Names of files, arrays and classes come from outside: printed as they are, they
    could spread over several lines or steer a terminal.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class VAEJaxError(Exception):
    """Base of all errors below; the programs print its message and exit with 1."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(VAEJaxError, ValueError):
    """A config field, flag or argument has a value that makes no sense."""


class ContractError(VAEJaxError, ValueError):
    """A model, an objective and a batch don't fit together, as their shapes say.

    Raised while JAX traces a step, so a compiled step pays nothing for it.
    """


class DataError(VAEJaxError, ValueError):
    """A data set is missing, empty, damaged or of the wrong shape or range."""


class CheckpointError(VAEJaxError, RuntimeError):
    """No checkpoint can be restored, or it does not fit the model."""


class StorageError(VAEJaxError, OSError):
    """A file can't be written: no room, no permission, or a faulty disk."""


class NonFiniteLossError(VAEJaxError, FloatingPointError):
    """The training loss became NaN or infinite.

    `step` says when, and `failed` when for each of several members.
    """

    def __init__(
        self,
        step: int,
        value: float,
        saved_step: int | None = None,
        failed: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Says what is left of the run.

        Args:
            step: first step whose loss is not finite.
            value: the loss there.
            saved_step: step of the newest checkpoint, None if there is none yet.
            failed: number of each member -> its first such step.
        """
        self.step, self.failed = step, failed
        kept = (
            "no checkpoint was saved before"
            if saved_step is None
            else f"the checkpoint of step {saved_step} is kept"
        )
        super().__init__(
            f"the loss became {value} at step {step}; {kept}."
            " Try a smaller hparams.learning_rate or optimizer.clip_norm"
        )


def nearest(name: object, options: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The option that a name was probably meant to be.

    Args:
        name: what was written.
        options: what would be valid.
        cutoff: how alike they must be, from 0 to 1, see `difflib.get_close_matches`.

    Returns:
        One of the options, or None if none is similar.
    """
    found = difflib.get_close_matches(str(name), list(options), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(name: object, options: Iterable[str]) -> str:
    """The sentence " Did you mean 'x'?" about the nearest option, or nothing."""
    near = nearest(name, options)
    return f" Did you mean {near!r}?" if near else ""


def no_field(field: str, fields: Iterable[str]) -> str:
    """A sentence about a field that the config lacks.

    Args:
        field: its name, "a.b".
        fields: names of those that there are; the nearest is suggested, or all of the
            group that `field` is the name of.
    """
    fields = list(fields)
    group = [name for name in fields if name.startswith(f"{field}.")]
    if group:
        return f"the config has no field {field!r}, but a group of {', '.join(group)}"
    return f"the config has no field {field!r}.{did_you_mean(field, fields)}"


@overload
def choose(
    options: Mapping[str, T], field: str, value: str, otherwise: str = ""
) -> T: ...


@overload
def choose(
    options: Sequence[str], field: str, value: str, otherwise: str = ""
) -> str: ...


def choose(
    options: Mapping[str, T] | Sequence[str],
    field: str,
    value: str,
    otherwise: str = "",
) -> T | str:
    """One of several options by its name.

    Args:
        options: what there is, by name; or names, which stand for themselves.
        field: whose value is the name, for messages.
        value: the name.
        otherwise: what the line says where no option is near.

    Returns:
        The option of that name.

    Raises:
        ConfigError: no option has that name; the line suggests the nearest.
    """
    if value in options:
        return options[value] if isinstance(options, Mapping) else value
    advice = did_you_mean(value, options) or (otherwise and f" {otherwise}")
    raise ConfigError(
        f"{field}={value!r}: must be one of {', '.join(options)}.{advice}"
    )
