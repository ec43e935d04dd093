"""Results of many runs, grouped by what was varied, as numbers and as CSV."""

import csv
import dataclasses
import functools
import io
import math
import numbers
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vae_jax.as_text import MISSING, exact, few_digits, with_error
from vae_jax.files import replace_file

Row = Mapping[str, Any]  # of a run: its name, seed, values that are swept, results

FAILED = "failed_at_step"
NOT_RESULTS = ("name", "seed", FAILED)
MAX_VALUES_IN_NAME = 3


@dataclasses.dataclass(frozen=True, eq=False)  # each is a key of its own
class Setting:
    """One combination of swept values, with a row for each seed."""

    values: Mapping[str, object]  # swept field -> value
    rows: Sequence[Row]

    @functools.cached_property
    def finished(self) -> list[Row]:
        """The rows of the runs that did not fail."""
        return [row for row in self.rows if row.get(FAILED) is None]

    def over_seeds(self, key: str) -> list[float]:
        """A number of each finished run; empty unless all of them have it.

        A mean over the seeds that happen to have a finite value would flatter; runs in
        which it was not measured do not count.
        """
        measured = [row[key] for row in self.finished if key in row]
        found = [value for value in measured if value is not None]
        return found if len(found) == len(measured) else []

    def mean(self, key: str) -> float | None:
        """Mean over seeds."""
        found = self.over_seeds(key)
        return statistics.fmean(found) if found else None

    def standard_error(self, key: str) -> float | None:
        """Of the mean over seeds; None for fewer than two."""
        found = self.over_seeds(key)
        if len(found) < 2:
            return None
        return statistics.stdev(found) / math.sqrt(len(found))


def amount(setting: Setting, key: str) -> str:
    """A mean over seeds, with its standard error where there is one, as text."""
    mean, error = setting.mean(key), setting.standard_error(key)
    if mean is None:
        return MISSING
    return few_digits(mean) if error is None else " ± ".join(with_error(mean, error))


def finite(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows with None in place of NaN and infinities."""
    return [
        {
            key: None if is_number(value) and not math.isfinite(value) else value
            for key, value in row.items()
        }
        for row in rows
    ]


def settings(rows: Sequence[Row], swept: Sequence[str]) -> list[Setting]:
    """Groups rows by the values of the swept fields.

    Args:
        rows: one row per run.
        swept: fields that every row has.

    Returns:
        Settings in the order of the first field, then the second, and so on. Numbers
        ascend, other values come in their order of appearance.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(exact(row[field]) for field in swept), []).append(row)
    found = [
        Setting({field: group[0][field] for field in swept}, group)
        for group in groups.values()
    ]
    for field in reversed(swept):  # sorting is stable: the first field decides last
        values = [row[field] for row in rows]
        order = sorted(values) if is_numeric(values) else values
        ranks = {
            text: rank for rank, text in enumerate(dict.fromkeys(map(exact, order)))
        }
        found.sort(key=lambda setting: ranks[exact(setting.values[field])])
    return found


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Field -> its last part, or the whole where two fields share that."""
    last = [field.rpartition(".")[2] for field in fields]
    return {
        field: field if last.count(part) > 1 else part
        for field, part in zip(fields, last, strict=True)
    }


def is_short(swept: Sequence[str]) -> bool:
    """Whether the swept values can name a setting; else a run's name does."""
    return 0 < len(swept) <= MAX_VALUES_IN_NAME


def setting_names(groups: Sequence[Setting], swept: Sequence[str]) -> list[str]:
    """One name per setting: its values, or what its runs' names share if too many."""
    if not is_short(swept):
        return [_name_of_runs(group.rows) for group in groups]
    shorts = short_names(swept)
    return [
        ", ".join(f"{shorts[field]} {exact(group.values[field])}" for field in swept)
        for group in groups
    ]


def _name_of_runs(rows: Sequence[Row]) -> str:
    """The words that all names have, such as "elbo, kl_weight=4"; else the first."""
    first, *others = (
        [word.strip() for word in str(row["name"]).split(",")] for row in rows
    )
    shared = [word for word in first if all(word in other for other in others)]
    # The name of a part says enough by itself, and a setting is over all its seeds.
    shared = [word.removeprefix("name=") for word in shared if word[:5] != "seed="]
    if shared:
        return ", ".join(shared)
    return ",".join(first) + (f" and {len(others)} more" if others else "")


def is_numeric(values: Iterable[object]) -> bool:
    """Whether all values can stand on an axis of numbers."""
    return all(map(is_number, values))


def result_keys(rows: Sequence[Row], swept: Sequence[str]) -> list[str]:
    """Keys that hold a number in some row, in order of appearance."""
    return list(
        dict.fromkeys(
            key
            for row in rows
            for key, value in row.items()
            if key not in (*NOT_RESULTS, *swept) and is_number(value)
        )
    )


def write_results(rows: Sequence[Row], path: pathlib.Path) -> None:
    """Writes a CSV with a line per run and a column for each key of any run.

    Columns: the run's name, its swept values and its seed, the keys of results.json,
    and failed_at_step where a run failed.
    """
    _write_csv(rows, path)


def write_summary(
    groups: Sequence[Setting], keys: Sequence[str], path: pathlib.Path
) -> None:
    """Writes a CSV with a line per setting.

    Columns: the swept fields, `runs` and `failed`, and for each key its mean over the
    seeds, KEY, and the standard error of that mean, KEY_se.
    """
    lines = []
    for setting in groups:
        line = dict(setting.values)
        line["runs"] = len(setting.rows)
        line["failed"] = len(setting.rows) - len(setting.finished)
        for key in keys:
            line[key] = setting.mean(key)
            line[f"{key}_se"] = setting.standard_error(key)
        lines.append(line)
    _write_csv(lines, path)


def _write_csv(lines: Sequence[Row], path: pathlib.Path) -> None:
    text = io.StringIO(newline="")
    keys = dict.fromkeys(key for line in lines for key in line)
    # A failed run has few keys; where it comes first, its failure would stand between.
    columns = sorted(keys, key=lambda key: key == FAILED)
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    replace_file(path, text.getvalue().encode())


def is_number(value: object) -> bool:
    """Whether a value is a number; True and False are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
