"""Results as tables on the terminal."""

import importlib.util
import os
import pathlib
import shlex
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vae_jax.as_text import MISSING, few_digits, with_error
from vae_jax.quantities import LOWER, SOURCES, UPPER, Quantity, Results, sections

BRIEF = {"fit": "Fit", "code": "Code", "draws": "Draws from"}
# Heads of the columns, in the order of SOURCES.
HEADS = dict(zip(SOURCES.values(), ("prior", "codes", "fitted", "real"), strict=True))
LEGEND = (
    "prior: codes drawn from it; codes: those of the data; fitted: from a normal fitted"
    " to those; real: images of the data"
)


def print_results(
    workdir: str | os.PathLike[str],
    results: Results,
    quantities: Sequence[Quantity],
    everything: bool = True,
) -> None:
    """Prints results as tables, and where to look for more.

    The short form has at most three tables, which fit 24 lines of 80 columns: how well
    the model fits, its code, and draws. Codes of several sources stand side by side,
    two bounds as an interval, a standard error behind a ±. Paths are printed whole, one
    a line, so that they can be copied.

    Args:
        workdir: folder of the run.
        results: number, text or None by key, such as the content of results.json.
        quantities: what the numbers mean.
        everything: print all numbers, group by group, in place of the short form.
    """
    words = {k: v for k, v in results.items() if isinstance(v, str)}
    groups = _groups([key for key in results if key not in words], quantities)
    title = Text(str(workdir), style="bold")
    if not everything:
        total = sum(map(len, groups.values()))
        groups = _brief(groups)
        if left_out := total - sum(map(len, groups.values())):
            title += Text(f"   ({left_out} more numbers with --all)")
    console = Console(highlight=False)
    console.print(title, soft_wrap=True)
    for name, word in words.items():
        console.print(Text(f"{name}: {word}"), soft_wrap=True)
    shown = [quantity for group in groups.values() for quantity in group]
    width = max((len(quantity.label) for quantity in shown), default=0)
    for name, group in groups.items():
        console.print(_table(name, group, results, width, everything))
    if any(results[key] is None for quantity in shown for key in quantity.lines):
        console.print(
            f"{MISSING} stands for what is not defined for this model and these data"
        )
    if everything and _sources(shown):
        console.print(LEGEND)
    for line in _places(pathlib.Path(workdir), everything):
        console.print(Text(line), soft_wrap=True)


def print_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, folded: int = 1
) -> None:
    """Prints a table of texts. Where stdout is no terminal every row is one line.

    Args:
        heads: titles of the columns.
        rows: as many texts each.
        folded: how many columns, from the left, may be folded to fit a terminal.
    """
    table = _columns()
    for number, head in enumerate(heads):
        table.add_column(head, no_wrap=number >= folded, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    _stdout().print(table)


def print_text(text: str) -> None:
    """Prints a paragraph, whose lines break between words on a terminal."""
    _stdout().print(Text(text))


def _stdout() -> Console:
    """A console as wide as the terminal; so wide that nothing is folded elsewhere."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100_000)


def _groups(
    keys: Sequence[str], quantities: Sequence[Quantity]
) -> dict[str, list[Quantity]]:
    """The quantities of some keys by the title of their group, without their errors."""
    errors = {quantity.error for quantity in quantities}
    by_title = {
        section.group.title: [q for q in section.quantities if q.name not in errors]
        for section in sections(quantities, keys)
    }
    return {title: group for title, group in by_title.items() if group}


def _brief(groups: Mapping[str, Sequence[Quantity]]) -> dict[str, list[Quantity]]:
    """Those of the short form, by the title of their table."""
    found = [quantity for group in groups.values() for quantity in group]
    by_title = {
        title: [quantity for quantity in found if quantity.brief == name]
        for name, title in BRIEF.items()
    }
    return {title: group for title, group in by_title.items() if group}


def _columns() -> Table:
    """A table without lines."""
    return Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")


def _sources(quantities: Sequence[Quantity]) -> list[str]:
    """Those of the sources of codes that some quantities are measured at."""
    lines = {name for q in quantities for name in q.lines.values()}
    return [name for name in SOURCES.values() if name in lines]


def _table(
    title: str,
    shown: Sequence[Quantity],
    results: Results,
    width: int,
    everything: bool,
) -> Table:
    """A row for each quantity; where there are sources of codes, a column for each."""
    sources = _sources(shown)
    table = _columns()
    table.add_column(title, no_wrap=True)
    for head in [HEADS[name] for name in sources] or ["value"]:
        table.add_column(head, no_wrap=bool(sources))
    table.add_column("good")
    for quantity in shown:
        by_line = {name: key for key, name in quantity.lines.items()}
        if sources and by_line.keys() <= set(sources):
            cells = [
                few_digits(results[by_line[name]], 3) if name in by_line else ""
                for name in sources
            ]
        else:
            rest = [""] * (len(sources) - 1)
            cells = [_value(quantity, results, everything), *rest]
        table.add_row(f"  {quantity.label:<{width}}", *cells, quantity.good)
    return table


def _value(quantity: Quantity, results: Results, everything: bool) -> str:
    """A number with its error, or an interval, with what else there is of it."""

    def number(key: str) -> str:
        value, error = results[key], results.get(quantity.error)
        if key != quantity.name or value is None or error is None:
            return few_digits(value)
        return " ± ".join(with_error(value, error))

    by_line = {name: key for key, name in quantity.lines.items()}
    if LOWER in by_line and UPPER in by_line:
        bounds = [results[by_line.pop(name)] for name in (LOWER, UPPER)]
        if None in bounds:
            return MISSING
        rest = [f" ({name} {number(key)})" for name, key in by_line.items()]
        return " to ".join(map(few_digits, bounds)) + "".join(rest) * everything
    return number(quantity.name)


def _places(workdir: pathlib.Path, everything: bool) -> list[str]:
    """Where pictures are, and how to see curves."""
    lines = []
    if (workdir / "figures").is_dir():
        lines.append(f"figures: {workdir / 'figures'}")
    if not (everything and (workdir / "tensorboard").is_dir()):
        return lines
    curves = f"curves:  tensorboard --logdir={shlex.quote(str(workdir))}"
    if importlib.util.find_spec("tensorboard") is None:
        curves += "   (first: pip install tensorboard)"
    return [*lines, curves]
