"""From `field=1,2,3` flags to the configs of a grid."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.as_text import exact
from vae_jax.errors import ConfigError, did_you_mean

SEED = "seed"
MAX_MEMBERS = 10_000  # each has a folder with a checkpoint, and 4 kB of memory


@dataclasses.dataclass(frozen=True)
class Member:
    """One run of a grid."""

    name: str  # of its folder, e.g. "kl_weight=4,seed=0"
    values: Mapping[str, Any]  # swept field -> value, and the seed
    config: ConfigDict


def parse_sweep(config: ConfigDict, text: str) -> tuple[str, list[Any]]:
    """Reads "hparams.kl_weight=0,0.5,1" with the field's own type.

    Args:
        config: says which fields there are and of what type.
        text: the flag's value.

    Returns:
        The field and its values.

    Raises:
        ConfigError: unknown field, no value, a value of the wrong type, or one twice.
    """
    field, equals, listed = text.partition("=")
    flat = build.flatten(config.to_dict())
    if field not in flat:
        raise ConfigError(
            f"--sweep={text}: the config has no field {field!r}."
            f"{did_you_mean(field, flat)}"
        )
    if isinstance(flat[field], (tuple, list)):
        raise ConfigError(f"--sweep={text}: {field} is a list, which can't be swept")
    words = [word.strip() for word in listed.split(",")]
    if not equals or not all(words):
        raise ConfigError(f"--sweep={text}: expected {field}=VALUE,VALUE,...")
    values = [_parse(text, word, type(flat[field])) for word in words]
    seen = set()
    for value in values:
        if value in seen:
            raise ConfigError(f"--sweep={text}: {value} is given twice")
        seen.add(value)
    return field, values


def _parse(text: str, word: str, kind: type) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[word.lower()]
        return kind(word)
    except (ValueError, KeyError):
        raise ConfigError(
            f"--sweep={text}: {word!r} is not of type {kind.__name__}"
        ) from None


def members(config: ConfigDict, sweeps: Sequence[str], seeds: int) -> list[Member]:
    """All combinations of the swept values and the seeds config.seed, + 1, ...

    Args:
        config: config with the values of all fields that are not swept.
        sweeps: texts for `parse_sweep`.
        seeds: how many, at least 1; must be 1 where the seed itself is swept.

    Returns:
        The members, in the order of the flags; the seed varies fastest.

    Raises:
        ConfigError: a text is wrong, a field is swept twice, there are more than
            MAX_MEMBERS, or a member's config is wrong.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds={seeds}: must be at least 1")
    axes = dict([parse_sweep(config, text) for text in sweeps])
    if len(axes) < len(sweeps):
        raise ConfigError(
            "--sweep: a field is swept twice; give all its values at once"
        )
    if SEED in axes and seeds != 1:
        raise ConfigError("--seeds and --sweep=seed=... exclude each other")
    total = seeds * math.prod(map(len, axes.values()))
    if total > MAX_MEMBERS:
        raise ConfigError(
            f"--sweep and --seeds make {total} members: at most {MAX_MEMBERS} fit into"
            " a grid; sweep fewer values at a time"
        )
    axes.setdefault(SEED, [config.seed + i for i in range(seeds)])
    last_parts = [field.rpartition(".")[2] for field in axes]
    found = []
    for combination in itertools.product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))
        own = config.copy_and_resolve_references()
        for field, value in values.items():
            own.update_from_flattened_dict({field: value})
        build.check(own)
        labels = [
            # The last part of a field names it, unless two fields share it.
            f"{field if last_parts.count(short) > 1 else short}={_plain(value)}"
            for (field, value), short in zip(values.items(), last_parts, strict=True)
        ]
        found.append(Member(",".join(labels), values, own))
    return found


def _plain(value: Any) -> str:
    """A value as it can stand in the name of a folder."""
    return exact(value).replace("/", "_").replace(":", "_")


def programs(grid: Sequence[Member], members_per_program: int) -> list[list[Member]]:
    """Cuts a grid into parts that one compiled program can train side by side.

    Members of a program may differ in the seed and in the numbers of `config.hparams`,
    which are traced; any other field changes the program.

    Args:
        grid: all members.
        members_per_program: at most so many in one.

    Returns:
        The groups of members, in order.
    """
    groups: dict[str, list[Member]] = {}
    for entry in grid:
        flat = build.flatten(entry.config.to_dict())
        fixed = {
            field: value
            for field, value in flat.items()
            if field != SEED and not field.startswith("hparams.")
        }
        groups.setdefault(repr(sorted(fixed.items())), []).append(entry)
    return [
        group[start : start + members_per_program]
        for group in groups.values()
        for start in range(0, len(group), members_per_program)
    ]
