"""Results as tables on the terminal, one for each group of quantities."""

import importlib.util
import os
import pathlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vae_jax.as_text import MISSING, few_digits
from vae_jax.quantities import LOWER, SOURCES, UPPER, Quantity, sections


def print_results(
    workdir: str | os.PathLike[str],
    results: Mapping[str, Any],
    quantities: Sequence[Quantity],
) -> None:
    """Prints the results group by group, and where to look for more.

    Codes of several sources stand side by side, two bounds as an interval, a standard
    error behind a ±. Paths are printed whole, one a line, so that they can be copied.

    Args:
        workdir: folder of the run.
        results: number, text or None by key, such as the content of results.json.
        quantities: what the numbers mean.
    """
    console = Console(highlight=False)
    console.print(Text(str(workdir), style="bold"), soft_wrap=True)
    words = {k: v for k, v in results.items() if isinstance(v, str)}
    for name, word in words.items():
        console.print(Text(f"{name}: {word}"), soft_wrap=True)
    numbers = [key for key in results if key not in words]
    errors = {quantity.error for quantity in quantities} - {""}
    for section in sections(quantities, numbers):
        shown = [q for q in section.quantities if q.name not in errors]
        if shown:
            console.print(_table(section.group.title, shown, results))
    if None in results.values():
        print(f"{MISSING} stands for what is not defined for this model and these data")
    path = pathlib.Path(workdir)
    lines = {"metrics": str(path / "metrics.jsonl")}
    if (path / "figures").is_dir():
        lines["figures"] = str(path / "figures")
    lines["curves"] = f"tensorboard --logdir={shlex.quote(str(path))}"
    if importlib.util.find_spec("tensorboard") is None:
        lines["curves"] += "   (first: pip install tensorboard)"
    for name, text in lines.items():
        print(f"{name + ':':<8} {text}")


def _table(title: str, shown: Sequence[Quantity], results: Mapping[str, Any]) -> Table:
    """A row for each quantity; where there are sources of codes, a column for each."""
    lines = {name for q in shown for name in q.lines.values()}
    sources = [name for name in SOURCES.values() if name in lines]
    heads = sources or ["value"]
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column(title, min_width=max(len(q.label) for q in shown))
    for head in (*heads, "good"):
        table.add_column(head)
    for quantity in shown:
        by_line = {name: key for key, name in quantity.lines.items()}
        if sources and by_line.keys() <= set(sources):
            cells = [
                few_digits(results[by_line[name]]) if name in by_line else ""
                for name in sources
            ]
        else:
            cells = [_value(quantity, results)] + [""] * (len(heads) - 1)
        table.add_row(quantity.label, *cells, quantity.good)
    return table


def _value(quantity: Quantity, results: Mapping[str, Any]) -> str:
    """A number with its error, or an interval with what it cannot pass."""

    def number(key: str) -> str:
        text, error = few_digits(results[key]), results.get(quantity.error)
        is_first = key == quantity.name and error is not None
        return f"{text} ± {few_digits(error, 2)}" if is_first else text

    by_line = {name: key for key, name in quantity.lines.items()}
    if LOWER in by_line and UPPER in by_line:
        bounds = [results[by_line.pop(name)] for name in (LOWER, UPPER)]
        if None in bounds:
            return MISSING
        rest = [f" ({name} {number(key)})" for name, key in by_line.items()]
        return " to ".join(map(few_digits, bounds)) + "".join(rest)
    return number(quantity.name)
