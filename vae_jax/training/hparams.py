"""Records which hyperparameters a step reads, so that a misspelt name is an error."""

import collections
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.errors import ContractError, nearest
from vae_jax.types import Array, Hparams

# What reads a name that is often given without its reader.
_READERS = {
    "warmup_steps": "a schedule reads it, such as"
    " schedule=schedules.scale('kl_weight', schedules.linear)",
    "learning_rate": "vae_jax.scale_by_hparam() reads it, as the optimiser's last link",
    "capacity": "the objective vae_jax.capacity_loss reads it",
    "free_nats": "the objective vae_jax.elbo_loss reads it",
    "free_nats_per_layer": "the objective vae_jax.elbo_loss reads it",
}


class WatchedHparams(dict):
    """Hyperparameters that record which names are read while a step is traced.

    A copy of the whole (`{**hparams}`, a loop over it, a passage through `jit`) counts
    as a read of every name, because reads of the copy are not recorded;
    `hparams | {...}` stays recorded.
    """

    def __init__(
        self, values: Mapping[str, Array], reader: str, asked: set[str]
    ) -> None:
        """Watches some values.

        Args:
            values: name -> traced number.
            reader: their reader, for messages: "the schedule".
            asked: names read so far; grows.
        """
        super().__init__(values)
        self._reader = reader
        self.asked = asked

    def reader(self, name: str) -> "WatchedHparams":
        """The same numbers for another reader: "the schedule", "the model", ..."""
        other = self | {}
        other._reader = name
        return other

    def __getitem__(self, name: str) -> Array:
        self.asked.add(name)
        if not super().__contains__(name):
            raise ContractError(
                f"hparams has no {name!r}, which {self._reader} reads:"
                f" add it, as in vae_jax.make_hparams({name}=1.0)."
                f" There is {', '.join(dict.keys(self)) or 'none'}"
            )
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        self.asked.add(name)
        return super().pop(name, *default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().setdefault(name, default)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)

    def __or__(self, other: Any) -> "WatchedHparams":
        mine = dict(zip(dict.keys(self), dict.values(self), strict=True))
        return WatchedHparams({**mine, **other}, self._reader, self.asked)

    def copy(self) -> "WatchedHparams":
        return self | {}

    def __iter__(self) -> Iterator[str]:
        self.asked.update(dict.keys(self))
        return super().__iter__()

    def keys(self) -> Any:
        self.asked.update(dict.keys(self))
        return super().keys()

    def values(self) -> Any:
        self.asked.update(dict.keys(self))
        return super().values()

    def items(self) -> Any:
        self.asked.update(dict.keys(self))
        return super().items()


def _flatten(hparams: WatchedHparams) -> tuple[list[Array], tuple[str, ...]]:
    names = tuple(sorted(hparams))
    return [hparams[name] for name in names], names


def _unflatten(names: tuple[str, ...], values: Iterable[Array]) -> Any:
    return dict(zip(names, values, strict=True))


# Passed through jit or tree.map it becomes an ordinary dict.
jax.tree_util.register_pytree_node(WatchedHparams, _flatten, _unflatten)


def watch(
    hparams: object, asked: set[str] | None = None, name: str = "hparams"
) -> WatchedHparams:
    """`hparams` as `WatchedHparams`.

    Args:
        hparams: name -> traced number.
        asked: names read so far; grows. None: a new set.
        name: what to call `hparams` in messages.

    Returns:
        The same numbers, which record the names that are read.

    Raises:
        ContractError: they are no mapping.
    """
    if isinstance(hparams, WatchedHparams):
        return hparams | {}
    if not isinstance(hparams, Mapping):
        raise ContractError(
            f"{name} is of type {type(hparams).__name__}: it must be a dict of numbers,"
            " as vae_jax.make_hparams(kl_weight=1.0) gives"
        )
    return WatchedHparams(hparams, "the step", set() if asked is None else asked)


def any_number() -> Hparams:
    """Hyperparameters of any name, each 1, for a trace that only makes shapes."""
    return collections.defaultdict(lambda: jnp.ones(()))


def check_all_read(hparams: Hparams, asked: set[str]) -> None:
    """Raises if a step was given a number that nothing has read.

    Args:
        hparams: as given to the step.
        asked: names that schedule, objective and optimiser have read.

    Raises:
        ContractError: names the first such number, and the nearest that is read.
    """
    for name in hparams:
        if name in asked:
            continue
        near = nearest(name, asked)
        advice = f"did you mean {near!r}?" if near else _READERS.get(name)
        read = ", ".join(sorted(asked)) or "none"
        raise ContractError(
            f"hparams has {name!r}, which nothing reads:"
            f" {advice or 'leave it out'} (read: {read})"
        )
