"""The tables of a report: cells that know what they show and what they sort by."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from vae_jax.as_text import exact, few_digits
from vae_jax.quantities import Section
from vae_jax.report import compare
from vae_jax.report.compare import FAILED, Row, Setting, is_number

# The numbers of the first table, where there are such.
HEADLINE = (
    "elbo",
    "rate",
    "distortion",
    "nll",
    "active_units",
    "posterior_variance",
    "hole_mass",
    "coverage",
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """Of a table."""

    text: str
    value: str | float | None = None  # what its column is sorted by; None is last
    small: str = ""  # a second line: a unit or an error


@dataclasses.dataclass(frozen=True)
class Table:
    """One whose headings sort it; the first cell of a row is the row's heading."""

    heads: Sequence[Cell]
    body: Sequence[Sequence[Cell]]


def headline(
    groups: Sequence[Setting],
    swept: Sequence[str],
    names: Sequence[str],
    sections: Sequence[Section],
) -> Table:
    """A row per setting with the most important numbers."""
    heads = headings(sections)
    columns = {key: head for key, head in heads.items() if key in HEADLINE}
    fields = compare.short_names(swept) if compare.is_short(swept) else {}
    body = []
    for group, name in zip(groups, names, strict=True):
        labels = [_config_cell(group.values[field]) for field in fields]
        finished = len(group.finished)
        body.append(
            [
                *(labels or [_config_cell(name)]),
                *(mean_cell(group, key) for key in columns),
                Cell(f"{finished} of {len(group.rows)}", finished),
            ]
        )
    labels = [Cell(short) for short in fields.values()] or [Cell("runs")]
    return Table([*labels, *columns.values(), Cell("finished", small="runs")], body)


def headings(sections: Sequence[Section]) -> dict[str, Cell]:
    """Key -> heading with unit, in the order of the sections."""
    return {
        key: Cell(quantity.title, small=", ".join(filter(None, [line, quantity.unit])))
        for section in sections
        for quantity in section.quantities
        for key, line in quantity.lines.items()
    }


def run_table(
    rows: Sequence[Row], swept: Sequence[str], sections: Sequence[Section]
) -> Table:
    """A row per run with every number."""
    columns = headings(sections)
    fields = compare.short_names(list(dict.fromkeys([*swept, "seed"])))
    heads = [*map(Cell, ["run", "state", *fields.values()]), *columns.values()]
    body = []
    for row in rows:
        failed = row.get(FAILED)
        state = "finished" if failed is None else f"failed at step {failed}"
        settings = [row["name"], state, *(row.get(field) for field in fields)]
        results = [Cell(few_digits(row.get(key)), row.get(key)) for key in columns]
        body.append([*map(_config_cell, settings), *results])
    return Table(heads, body)


def _config_cell(value: Any) -> Cell:
    sorted_by = value if value is None or is_number(value) else exact(value)
    return Cell(exact(value), sorted_by)


def mean_cell(group: Setting, key: str) -> Cell:
    """The mean over seeds and, below it, its standard error."""
    mean, error = group.mean(key), group.standard_error(key)
    small = "" if error is None else f"± {few_digits(error, 2)}"
    return Cell(few_digits(mean), mean, small)
