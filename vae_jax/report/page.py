"""A report of many runs: two CSV files, charts, and one HTML file that holds all."""

import json
import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from vae_jax.as_text import exact
from vae_jax.data.description import counted
from vae_jax.errors import ConfigError
from vae_jax.files import replace_file, writing
from vae_jax.flat import flatten
from vae_jax.quantities import Quantity, Section, sections
from vae_jax.report import (
    charts,
    compare,
    correlations,
    html,
    page_pictures,
    page_tables,
    plane,
    svg,
)
from vae_jax.report.arrangement import Layout, arrange, spread, thinned
from vae_jax.report.compare import FAILED, Row, Setting
from vae_jax.report.conclusion import best_setting, conclude, incomparable

# What a page holds at most of what grows with the number of runs.
MAX_VALUES = 10  # of a field
MAX_LINES = 20  # commands, and runs that failed
MAX_COLUMNS = 40  # settings in the tables of the sections
# By which number the settings are chosen that the first table shows.
BEST = {"elbo": ", those with the best ELBO", "coverage": ", those with most coverage"}


def write_report(
    out: pathlib.Path,
    rows: Sequence[Row],
    folders: Sequence[pathlib.Path],
    *,
    quantities: Sequence[Quantity],
    swept: Sequence[str],
    config: Mapping[str, object],
    commands: Sequence[str],
    title: str,
) -> pathlib.Path:
    """Writes results.csv, summary.csv, figures/*.svg and report.html into a folder.

    report.html needs no other file and no network. It replaces an older report. Of many
    settings it shows the best in its first table, and charts and pictures of some that
    are spread evenly; the CSV files have all. Where the folder holds an explorer.html,
    it has a link to it.

    Args:
        out: the folder; made if it is missing.
        rows: one per run: `name` (each once), the swept fields, `seed` and the keys of
            results.json; `failed_at_step` instead of those where a run failed.
        folders: the workdir of each row; its figures/*.png are shown.
        quantities: what the results mean; those that no quantity explains come last.
        swept: config fields that differ between the runs, the seed aside.
        config: what the runs share, nested or flat.
        commands: shell commands that repeat the runs.
        title: title of the report.

    Returns:
        The path of report.html.

    Raises:
        ConfigError: out holds a run.
        StorageError: out can't be written.
        DataError: a figure of a run is damaged.
    """
    if (out / "config.json").exists():
        raise ConfigError(f"{out} holds a run: choose another folder for the report")
    rows = compare.finite(rows)
    groups = compare.settings(rows, swept)
    names = dict(zip(groups, compare.setting_names(groups, swept), strict=True))
    keys = compare.result_keys(rows, swept)
    found = sections(quantities, keys)
    best = None if incomparable(swept) else best_setting(groups, "elbo")
    layout, left_out = thinned(arrange(groups, swept), best)
    drawn = _draw_charts(layout, names, found, best)
    finished = [row for group in groups for row in group.finished]
    if ranked := correlations.ranked(finished, found):
        drawn["rank_correlations"] = correlations.draw(finished, ranked)
    with writing(out):
        (out / "figures").mkdir(parents=True, exist_ok=True)
        compare.write_results(rows, out / "results.csv")
        compare.write_summary(groups, keys, out / "summary.csv")
        for name, chart in drawn.items():
            svg.write(chart, out / "figures" / f"{name}.svg")
    folder_of = {
        str(row["name"]): folder for row, folder in zip(rows, folders, strict=True)
    }
    drawn_settings = set(layout.settings)
    shown = [group for group in groups if group in drawn_settings]
    columns = _some(shown, MAX_COLUMNS, best)
    column_names = {
        setting: layout.ticks[tick] if layout.is_single else names[setting]
        for line in layout.lines.values()
        for tick, setting in line.items()
    }
    if len(columns) < len(shown):
        left_out += (
            f" {len(columns)} of {len(groups):,} settings stand in the tables of the"
            " sections."
        )
    top, cut_off = _best_first(groups, swept)
    pictured = _some(shown, page_pictures.MAX_SHOWN, best)
    of_pictures = f"{len(pictured)} of the {len(groups):,} settings"
    text = html.template("report.html.jinja").render(
        title=title,
        conclusion=conclude(names, found, swept),
        facts=_facts(rows, groups, swept),
        has_explorer=(out / "explorer.html").is_file(),
        headline=page_tables.headline(top, swept, names, found),
        cut_off=cut_off,
        charts={name: Markup(svg.markup(chart)) for name, chart in drawn.items()},
        left_out=left_out.strip(),
        num_finished=len(finished),
        sections=[_section(section, columns, drawn) for section in found],
        corner=layout.label if layout.is_single else "",
        columns=[column_names[group] for group in columns],
        states=[_state(group) for group in columns],
        strips=page_pictures.strips(pictured, names, folder_of),
        pictured="each setting" if len(pictured) == len(groups) else of_pictures,
        failures=_shortened(page_pictures.failures(groups), "more failed"),
        runs=page_tables.run_table(rows, swept, found),
        config=_config_lines(config, groups, swept),
        commands=_shortened(commands, "more commands, one for each run"),
    )
    with writing(out):
        replace_file(out / "report.html", text.encode())
    return out / "report.html"


def _some(shown: Sequence[Setting], limit: int, keep: Setting | None) -> list[Setting]:
    """Settings that are spread evenly over many, with one that stays."""
    kept = shown.index(keep) if keep in shown else 0
    return [shown[i] for i in spread(len(shown), limit, kept)]


def _best_first(
    groups: Sequence[Setting], swept: Sequence[str]
) -> tuple[Sequence[Setting], str]:
    """The settings of the first table, and what that leaves out."""
    most = page_tables.PAGE_ROWS
    if len(groups) <= most:
        return groups, ""
    found = [
        (key, words)
        for key, words in BEST.items()
        if best_setting(groups, key) and not (key == "elbo" and incomparable(swept))
    ]
    key, words = found[0] if found else ("", "")
    known = [
        (-mean, i) for i, g in enumerate(groups) if (mean := g.mean(key)) is not None
    ]
    top = [groups[i] for _, i in sorted(known)[:most]] or groups[:most]
    return top, f"{len(top)} of {len(groups):,} settings{words}; summary.csv has all."


def _shortened(lines: Sequence[str], more: str) -> list[str]:
    """The first of many lines, and a last one that counts the others."""
    rest = len(lines) - MAX_LINES
    return [*lines[:MAX_LINES], *([f"... {rest:,} {more}"] if rest > 0 else [])]


def _draw_charts(
    layout: Layout,
    names: Mapping[Setting, str],
    found: Sequence[Section],
    best: Setting | None,
) -> dict[str, ET.Element]:
    """Draws what there is to draw, by name of the chart."""
    groups = layout.settings

    def known(*keys: str) -> bool:
        """Whether a setting has all of these."""
        return any(all(group.mean(key) is not None for key in keys) for group in groups)

    drawn = {}
    if known("rate", "distortion"):
        drawn["rate_distortion"] = plane.rate_distortion(layout, names, best)
    for section in found:
        if not section.group.drawn or len(groups) < 2:
            continue
        for quantity in section.quantities:
            if any(known(key) for key in quantity.lines):
                chart = charts.against_setting(quantity, layout, names)
                drawn[quantity.name] = chart
    return drawn


def _facts(
    rows: Sequence[Row], groups: Sequence[Setting], swept: Sequence[str]
) -> list[str]:
    """The report in one line each: how much was run, what was varied, what failed."""
    failed = sum(row.get(FAILED) is not None for row in rows)
    facts = [
        counted(len(rows), "run", "runs"),
        counted(len(groups), "setting", "settings"),
    ]
    facts += [
        f"{field}: {_values([exact(group.values[field]) for group in groups])}"
        for field in swept
    ]
    return facts + ([f"{failed} failed"] if failed else [])


def _values(texts: Sequence[str]) -> str:
    """The different ones of some values, or the first and the last of many."""
    found = list(dict.fromkeys(texts))
    if len(found) <= MAX_VALUES:
        return ", ".join(found)
    first, last = ", ".join(found[: MAX_VALUES - 3]), found[-1]
    return f"{first}, ..., {last} ({len(found):,} values)"


def _section(
    section: Section, groups: Sequence[Setting], drawn: Mapping[str, ET.Element]
) -> dict[str, object]:
    """A group of quantities with its charts and a table with a column per setting."""
    quantities = section.quantities
    return {
        "title": section.group.title,
        "id": section.group.title.lower().replace(" ", "-"),
        "text": section.group.text,
        "charted": [q for q in quantities if q.name in drawn],
        "others": [
            (q.title, page_tables.explained(q))
            for q in quantities
            if q.name not in drawn and q.meaning
        ],
        "lines": [
            (head, [page_tables.mean_cell(group, key) for group in groups])
            for key, head in page_tables.headings([section]).items()
        ],
    }


def _state(group: Setting) -> str:
    failed = len(group.rows) - len(group.finished)
    return f"{failed} of {len(group.rows)} failed" if failed else ""


def _config_lines(
    config: Mapping[str, object], groups: Sequence[Setting], swept: Sequence[str]
) -> dict[str, list[tuple[str, str, bool]]]:
    """Section -> (field, value, whether it was swept), all swept values in one line."""
    lines: dict[str, list[tuple[str, str, bool]]] = {}
    flat = flatten(config)
    # Fields without a section first.
    for field in sorted(dict.fromkeys([*flat, *swept]), key=lambda name: "." in name):
        values = [group.values[field] for group in groups if field in swept]
        text = _values([_config_text(value) for value in values])
        section, _, name = field.rpartition(".")
        line = (name, text if values else _config_text(flat[field]), bool(values))
        lines.setdefault(section, []).append(line)
    return lines


def _config_text(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) else exact(value)
