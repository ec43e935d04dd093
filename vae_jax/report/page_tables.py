"""The tables of a report: cells that know what they show and what they sort by."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from vae_jax.as_text import exact, few_digits, with_error
from vae_jax.quantities import Quantity, Section
from vae_jax.report import compare
from vae_jax.report.compare import FAILED, Row, Setting, is_number
from vae_jax.report.html import script_json

# The numbers of the first table, where there are such.
HEADLINE = ("elbo", "coverage", "rate", "distortion", "nll", "active_units")
PAGE_ROWS = 100  # of a table that are shown at a time
DIGITS = 6  # of a number in a row that is not shown at first


@dataclasses.dataclass(frozen=True)
class Head:
    """The heading of a column or of a line."""

    text: str
    small: str = ""  # a second line: a unit
    tip: str = ""  # what the column means
    best: str = ""  # "largest" or "smallest": what comes first when it sorts


@dataclasses.dataclass(frozen=True)
class Cell:
    """Of a table."""

    text: str
    value: str | float | None = None  # what its column is sorted by; None is last
    small: str = ""  # a second line: an error


@dataclasses.dataclass(frozen=True)
class Table:
    """One whose headings sort it; the first cell of a row is the row's heading."""

    heads: Sequence[Head]
    body: Sequence[Sequence[Cell]]
    later: str = ""  # JSON: the values of all rows, where there are too many to show


def headline(
    groups: Sequence[Setting],
    swept: Sequence[str],
    names: Mapping[Setting, str],
    sections: Sequence[Section],
) -> Table:
    """A row per setting with the most important numbers.

    Args:
        groups: the settings that it shows.
        swept: the fields that differ between them.
        names: name of each setting.
        sections: the quantities that there are.
    """
    heads = headings(sections)
    columns = {key: heads[key] for key in HEADLINE if key in heads}
    fields = compare.short_names(swept) if compare.is_short(swept) else {}
    labels = [Head(short, tip=field) for field, short in fields.items()]
    some_failed = any(len(group.finished) < len(group.rows) for group in groups)
    body = []
    for group in groups:
        cells = [_config_cell(group.values[field]) for field in fields]
        cells = cells or [_config_cell(names[group])]
        cells += [mean_cell(group, key) for key in columns]
        if some_failed:
            finished = len(group.finished)
            cells.append(Cell(f"{finished} of {len(group.rows)}", finished))
        body.append(cells)
    last = [Head("finished", "runs", best="largest")] if some_failed else []
    return Table([*(labels or [Head("runs")]), *columns.values(), *last], body)


def headings(sections: Sequence[Section]) -> dict[str, Head]:
    """Key -> heading with unit, in the order of the sections."""
    return {
        key: Head(
            quantity.title,
            ", ".join(filter(None, [line, quantity.unit])),
            explained(quantity),
            quantity.best,
        )
        for section in sections
        for quantity in section.quantities
        for key, line in quantity.lines.items()
    }


def explained(quantity: Quantity) -> str:
    """What a number is, its range, and what is good."""
    parts = [quantity.meaning]
    parts += [f"Range: {quantity.span}."] if quantity.span else []
    parts += [f"Good: {quantity.good}."] if quantity.good else []
    return " ".join(filter(None, parts))


def run_table(
    rows: Sequence[Row], swept: Sequence[str], sections: Sequence[Section]
) -> Table:
    """A row per run with every number."""
    columns = headings(sections)
    fields = compare.short_names(list(dict.fromkeys([*swept, "seed"])))
    labels = [Head(short, tip=field) for field, short in fields.items()]
    heads = [Head("run"), Head("state"), *labels, *columns.values()]

    def settings_of(row: Row) -> list[object]:
        failed = row.get(FAILED)
        state = "finished" if failed is None else f"failed at step {failed}"
        return [row["name"], state, *(row.get(field) for field in fields)]

    body = [
        [
            *map(_config_cell, settings_of(row)),
            *(Cell(few_digits(row.get(key)), row.get(key)) for key in columns),
        ]
        for row in rows[:PAGE_ROWS]
    ]
    if len(rows) <= PAGE_ROWS:
        return Table(heads, body)
    values = [
        [
            *(None if value is None else exact(value) for value in settings_of(row)),
            *(_shorter(row.get(key)) for key in columns),
        ]
        for row in rows
    ]
    return Table(heads, body, script_json(values))


def _shorter(value: object) -> object:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _config_cell(value: Any) -> Cell:
    sorted_by = value if value is None or is_number(value) else exact(value)
    return Cell(exact(value), sorted_by)


def mean_cell(group: Setting, key: str) -> Cell:
    """The mean over seeds and, below it, its standard error."""
    mean, error = group.mean(key), group.standard_error(key)
    if mean is None or error is None:
        return Cell(few_digits(mean), mean)
    text, small = with_error(mean, error)
    return Cell(text, mean, f"± {small}")
