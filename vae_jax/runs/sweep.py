"""From the flags `--sweep` and `--case` to the configs of a grid."""

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.as_text import exact
from vae_jax.errors import ConfigError, no_field
from vae_jax.fields import SEED_FIELD, Fields, is_traced
from vae_jax.flat import flatten
from vae_jax.report.compare import short_names

MAX_MEMBERS = 10_000  # each has a folder with a checkpoint, and 4 kB of memory
Fixed = tuple[tuple[str, object], ...]  # values of fields that choose the program


@dataclasses.dataclass(frozen=True)
class Member:
    """One run of a grid."""

    name: str  # of its folder, e.g. "kl_weight=4,seed=0"
    values: Fields  # field that differs -> value, and the seed
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
    flag = f"--sweep={text}"
    field, equals, listed = text.partition("=")
    kind = _kind(config, flag, field)
    words = [word.strip() for word in listed.split(",")]
    if not equals or not all(words):
        raise ConfigError(f"{flag}: expected {field}=VALUE,VALUE,...")
    values = [_parse(flag, word, kind) for word in words]
    for value, count in Counter(values).items():
        if count > 1:
            raise ConfigError(f"{flag}: {value} is given twice")
    return field, values


def parse_case(config: ConfigDict, text: str) -> dict[str, object]:
    """Reads "objective.name=beta_tc hparams.tc_weight=5" with the fields' own types.

    Args:
        config: says which fields there are and of what type.
        text: the flag's value.

    Returns:
        The fields and their values.

    Raises:
        ConfigError: no field, an unknown one, one twice, no value, or a value of the
            wrong type.
    """
    flag, values = f"--case={text}", {}
    for word in text.split():
        field, equals, value = word.partition("=")
        kind = _kind(config, flag, field)
        if not equals or not value:
            raise ConfigError(f"{flag}: expected FIELD=VALUE, found {word!r}")
        if field in values:
            raise ConfigError(f"{flag}: {field} is given twice")
        values[field] = _parse(flag, value, kind)
    if not values:
        raise ConfigError(f"{flag}: expected FIELD=VALUE FIELD=VALUE ...")
    return values


def _kind(config: ConfigDict, flag: str, field: str) -> type:
    """The type of a field."""
    flat = flatten(config.to_dict())
    if field not in flat:
        raise ConfigError(f"{flag}: {no_field(field, flat)}")
    if isinstance(flat[field], (tuple, list)):
        raise ConfigError(f"{flag}: {field} is a list, which can't be swept")
    return type(flat[field])


# What a word must be for a field of a type.
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


def _parse(flag: str, word: str, kind: type) -> object:
    try:
        if kind is bool:
            return {"true": True, "false": False}[word.lower()]
        return kind(word)
    except (ValueError, KeyError):
        raise ConfigError(f"{flag}: {word!r} must be {KINDS[kind]}") from None


def members(
    config: ConfigDict, sweeps: Sequence[str], seeds: int, cases: Sequence[str] = ()
) -> list[Member]:
    """All combinations of cases, swept values and the seeds config.seed, + 1, ...

    Args:
        config: config with the values of all fields that are not swept.
        sweeps: texts for `parse_sweep`.
        seeds: how many, at least 1; must be 1 where the seed itself is swept.
        cases: texts for `parse_case`; a field that only some of them set has the
            config's value in the others.

    Returns:
        The members, in the order of the flags; cases come first, and the seed varies
        fastest.

    Raises:
        ConfigError: a text is wrong, a field is swept twice, two cases are the same,
            there are more than MAX_MEMBERS, or a member's config is wrong.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds={seeds}: must be at least 1")
    axes = dict([parse_sweep(config, text) for text in sweeps])
    if len(axes) < len(sweeps):
        raise ConfigError(
            "--sweep: a field is swept twice; give all its values at once"
        )
    own, whole = _cases(config, cases)
    for field in whole[0]:
        if field in axes:
            raise ConfigError(f"--case and --sweep both set {field}: leave it to one")
    if SEED_FIELD in (axes | whole[0]) and seeds != 1:
        flag = "--sweep=seed=..." if SEED_FIELD in axes else "--case"
        raise ConfigError(f"--seeds and {flag} exclude each other: both set the seed")
    total = len(whole) * seeds * math.prod(map(len, axes.values()))
    if total > MAX_MEMBERS:
        raise ConfigError(
            f"--case, --sweep and --seeds make {total} members: at most {MAX_MEMBERS}"
            " fit into a grid; sweep fewer values at a time"
        )
    if SEED_FIELD not in whole[0]:
        _kind(config, f"--seeds={seeds}", SEED_FIELD)  # refuses a config without it
        axes.setdefault(SEED_FIELD, [config.seed + i for i in range(seeds)])
    shorts = short_names([*whole[0], *axes])
    found, first = [], dict[Fixed, ConfigDict]()
    for number, *combination in itertools.product(range(len(whole)), *axes.values()):
        swept = dict(zip(axes, combination, strict=True))
        values = whole[number] | swept
        program = _fixed(values)
        member = _config(config, values, first.get(program))
        first.setdefault(program, member)
        named = own[number] | swept
        name = ",".join(f"{shorts[field]}={_plain(v)}" for field, v in named.items())
        found.append(Member(name, values, member))
    for name, count in Counter(member.name for member in found).items():
        if count > 1:
            raise ConfigError(
                f"--sweep, --case: {count} members would have the same folder, {name},"
                " in whose name / and : are _: use other names for the files"
            )
    for part in programs(found, total):
        build.check(*(entry.config for entry in part))
    return found


def _config(config: ConfigDict, values: Fields, first: ConfigDict | None) -> ConfigDict:
    """The config of a member.

    To save time and memory it shares the sections without traced numbers with the
    first one of its program, if it is not that one itself.
    """
    if first is None:
        member = config.copy_and_resolve_references()
    else:
        sections = [value for value in first.values() if isinstance(value, ConfigDict)]
        shared = {
            id(part): part for part in sections if part is not first.get("hparams")
        }
        member = first.copy_and_resolve_references(shared)
        values = {field: v for field, v in values.items() if is_traced(field)}
    member.update_from_flattened_dict(values)
    return member


def swept_fields(
    config: ConfigDict, sweeps: Sequence[str], cases: Sequence[str]
) -> list[str]:
    """The fields that cases and sweeps set, in the order of the flags.

    Args:
        config: says which fields there are and of what type.
        sweeps: texts for `parse_sweep`.
        cases: texts for `parse_case`.
    """
    _, whole = _cases(config, cases)
    return [*whole[0], *(text.partition("=")[0] for text in sweeps)]


def _cases(
    config: ConfigDict, texts: Sequence[str]
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """For each case, the fields that it sets, and those that any of them sets.

    Without cases, one that sets nothing.
    """
    own = [parse_case(config, text) for text in texts] or [{}]
    flat = flatten(config.to_dict())
    usual = {field: flat[field] for case in own for field in case}
    whole = [usual | case for case in own]
    for i, (text, case) in enumerate(zip(texts, whole, strict=False)):
        if case in whole[:i]:
            raise ConfigError(
                f"--case={text}: is the same as --case={texts[whole.index(case)]}"
            )
    return own, whole


def _plain(value: object) -> str:
    """A value as it can stand in the name of a folder."""
    return exact(value).replace("/", "_").replace(":", "_")


def programs(grid: Sequence[Member], members_per_program: int) -> list[list[Member]]:
    """Cuts a grid into parts that one compiled program can train side by side.

    Members of a program may differ in the seed and in the numbers of `config.hparams`,
    which are traced; any other field changes the program.

    Args:
        grid: members of one grid, whose `values` therefore have the same fields.
        members_per_program: at most so many in one.

    Returns:
        The groups of members, in order.
    """
    groups: dict[Fixed, list[Member]] = {}
    for entry in grid:
        groups.setdefault(_fixed(entry.values), []).append(entry)
    return [
        group[start : start + members_per_program]
        for group in groups.values()
        for start in range(0, len(group), members_per_program)
    ]


def _fixed(values: Fields) -> Fixed:
    """What the members of a program have in common, of the values of one of them."""
    return tuple(item for item in values.items() if not is_traced(item[0]))
