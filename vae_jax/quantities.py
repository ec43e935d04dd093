"""What a number of a result means: the one place that says it for every reader.

A measure lists its quantities beside its computation. The table on the terminal, the
report, and the tables of docs/regularity.md are made from these lists.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

# Prefixes of keys: where the codes come from that a number is measured at.
SOURCES = {
    "": "prior",
    "codes_": "codes of the data",
    "fitted_": "Gaussian fitted to the codes",
    "real_": "real images",
}
LOWER, UPPER = "lower bound", "upper bound"
SHARE = "0 to 1"

Results = Mapping[str, Any]  # key of results.json -> a number, several, a text, None


@dataclasses.dataclass(frozen=True)
class Group:
    """A section of a report."""

    title: str
    text: str = ""
    drawn: bool = True  # False: in tables only
    ranks: bool = False  # whether a report compares how its numbers order runs


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One chart, and one row of a table: a number, or the same from several sides."""

    title: str
    meaning: str
    lines: Mapping[str, str]  # key of results.json -> name of its line
    group: Group
    span: str = ""  # the values that it can take
    good: str = ""  # which of them are good
    unit: str = ""
    scale: Literal["linear", "log", "share", "count"] = "linear"
    error: str = ""  # key of the standard error, where there is one
    brief: Literal["", "fit", "code", "draws"] = ""  # its table in the short result
    best: Literal["", "largest", "smallest"] = ""  # of its values, where one is

    @property
    def name(self) -> str:
        """The first key, after which the figure's file is called."""
        return next(iter(self.lines))

    @property
    def label(self) -> str:
        """Title and unit, for an axis."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


class Section(NamedTuple):
    """A group with those of its quantities that there are."""

    group: Group
    quantities: Sequence[Quantity]


LAYERS = Group(
    "Layer by layer",
    "Of models with several latent layers; layer 1 is next to the data. Of m2, layer 1"
    " is the code and layer 2 the class.",
    drawn=False,
)


def one(key: str) -> dict[str, str]:
    """The line of a number that stands alone."""
    return {key: ""}


def at(key: str, *prefixes: str) -> dict[str, str]:
    """The lines of a number that is measured at the sources with these prefixes."""
    return {prefix + key: SOURCES[prefix] for prefix in prefixes}


def keys_of(quantities: Iterable[Quantity]) -> list[str]:
    """The keys of results.json that quantities explain, in their order."""
    return [key for quantity in quantities for key in quantity.lines]


def is_reference(key: str) -> bool:
    """Whether a number is not of the model, but the best that a model can reach."""
    return key.startswith("real_") or key.endswith("_cap")


def sections(quantities: Sequence[Quantity], keys: Sequence[str]) -> list[Section]:
    """The quantities by group, reduced to the keys that there are.

    Args:
        quantities: the quantities that may have been measured.
        keys: keys of results.json. Those of single layers, such as `rate_layer2`, come
            near the end, and so does what no quantity explains, under its own name.

    Returns:
        Sections that are not empty, those in tables only last. Each key is in exactly
        one line of one of them.
    """
    found: dict[Group, list[Quantity]] = {q.group: [] for q in quantities}
    for quantity in quantities:
        lines = {key: name for key, name in quantity.lines.items() if key in keys}
        if lines:
            found[quantity.group].append(dataclasses.replace(quantity, lines=lines))
    known = {key: quantity for quantity in quantities for key in quantity.lines}
    other = Group("Other numbers")
    found |= {LAYERS: [], other: []}
    for key in keys:
        whole, layer, number = key.rpartition("_layer")
        if layer and whole in known and number.isdecimal():
            of_layer = dataclasses.replace(known[whole], lines=one(key), group=LAYERS)
            title = f"{of_layer.title}, layer {number}"
            found[LAYERS].append(dataclasses.replace(of_layer, title=title))
        elif key not in known:
            found[other].append(Quantity(key, "", one(key), other))
    ordered = sorted(found, key=lambda group: not group.drawn)  # a stable sort
    return [Section(group, found[group]) for group in ordered if found[group]]
