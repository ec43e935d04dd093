"""A report of many runs: two CSV files, figures, and one HTML file that holds all."""

import base64
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from PIL import Image

from vae_jax.as_text import exact
from vae_jax.errors import ConfigError, DataError
from vae_jax.files import replace_file, writing
from vae_jax.quantities import Quantity, Section, sections
from vae_jax.report import compare, compare_plots, correlations, page_tables
from vae_jax.report.compare import FAILED, Row, Setting

TEMPLATE = pathlib.Path(__file__).parent / "template"
# Figures of a run that the report shows, in this order: file -> caption.
PICTURES = {
    "samples": "Samples from the prior",
    "reconstructions": "Reconstructions",
    "interpolations": "Interpolations",
    "latent_map": "Latent map",
    "latent_grid": "Decoded latent space",
}
PICTURE_WIDTH = 640  # pixels: sharp at the 320 points that a phone gives it


def write_report(
    out: pathlib.Path,
    rows: Sequence[Row],
    folders: Sequence[pathlib.Path],
    *,
    quantities: Sequence[Quantity],
    swept: Sequence[str],
    config: Mapping[str, Any],
    commands: Sequence[str],
    title: str,
) -> pathlib.Path:
    """Writes results.csv, summary.csv, figures/ and report.html into a folder.

    report.html needs no other file and no network. It replaces an older report. Where
    the folder holds an explorer.html, it has a link to it.

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
    keys = compare.result_keys(rows, swept)
    found = sections(quantities, keys)
    layout = compare_plots.arrange(groups, swept)
    with writing(out):
        (out / "figures").mkdir(parents=True, exist_ok=True)
        compare.write_results(rows, out / "results.csv")
        compare.write_summary(groups, keys, out / "summary.csv")
        charts = _draw_charts(out / "figures", groups, layout, found)
    names = compare.setting_names(groups, swept)
    of_run = {
        str(row["name"]): folder for row, folder in zip(rows, folders, strict=True)
    }
    page = _environment().get_template("report.html.jinja")
    html = page.render(
        title=title,
        facts=_facts(rows, groups, swept),
        swept=swept,
        has_explorer=(out / "explorer.html").is_file(),
        headline=page_tables.headline(groups, swept, names, found),
        charts=charts,
        num_finished=sum(len(group.finished) for group in groups),
        sections=[_section(section, groups, charts) for section in found],
        corner=layout.label if layout.is_single else "",
        columns=layout.ticks if layout.is_single else names,
        states=[_state(group) for group in groups],
        settings=[
            _setting(group, name, of_run)
            for group, name in zip(groups, names, strict=True)
        ],
        runs=page_tables.run_table(rows, swept, found),
        config=_config_lines(config, groups, swept),
        commands=commands,
    )
    with writing(out):
        replace_file(out / "report.html", html.encode())
    return out / "report.html"


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,  # names, titles and configs are the user's
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _draw_charts(
    folder: pathlib.Path,
    groups: Sequence[Setting],
    layout: compare_plots.Layout,
    found: Sequence[Section],
) -> dict[str, str]:
    """Draws what there is to draw; name of the chart -> data URI."""

    def known(key: str) -> bool:
        return any(group.mean(key) is not None for group in groups)

    drawn = []
    if known("rate") and known("distortion"):
        drawn.append("rate_distortion")
        compare_plots.rate_distortion(layout, folder / "rate_distortion.png")
    for section in found:
        if not section.group.drawn or len(groups) < 2:
            continue
        for quantity in section.quantities:
            if any(known(key) for key in quantity.lines):
                drawn.append(quantity.name)
                path = folder / f"{quantity.name}.png"
                compare_plots.against_setting(quantity, layout, path)
    finished = [row for group in groups for row in group.finished]
    if names := correlations.ranked(finished, found):
        drawn.append("rank_correlations")
        correlations.draw(finished, names, folder / "rank_correlations.png")
    return {name: _data_uri(folder / f"{name}.png") for name in drawn}


def _data_uri(path: pathlib.Path, width: int | None = None) -> str:
    """An image as text; with a width, as a smaller copy that may lose details."""
    buffer = io.BytesIO()
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except OSError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if width is None:
        image.save(buffer, "webp", lossless=True)
    else:
        image.thumbnail((width, 2 * width), Image.Resampling.LANCZOS)
        image.save(buffer, "webp", quality=80)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _facts(
    rows: Sequence[Row], groups: Sequence[Setting], swept: Sequence[str]
) -> list[str]:
    """The report in one line each: how much was run, what was varied, what failed."""
    failed = sum(row.get(FAILED) is not None for row in rows)
    facts = [_count(len(rows), "run"), _count(len(groups), "setting")]
    facts += [
        f"{field}: " + ", ".join(dict.fromkeys(exact(g.values[field]) for g in groups))
        for field in swept
    ]
    return facts + ([f"{failed} failed"] if failed else [])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _section(
    section: Section, groups: Sequence[Setting], charts: Mapping[str, str]
) -> dict[str, Any]:
    """A group of quantities with its charts and a table with a column per setting."""
    quantities = section.quantities
    return {
        "title": section.group.title,
        "id": section.group.title.lower().replace(" ", "-"),
        "text": section.group.text,
        "charted": [q for q in quantities if q.name in charts],
        "others": [q for q in quantities if q.name not in charts and q.meaning],
        "lines": [
            (head, [page_tables.mean_cell(group, key) for group in groups])
            for key, head in page_tables.headings([section]).items()
        ],
    }


def _setting(
    group: Setting, name: str, of_run: Mapping[str, pathlib.Path]
) -> dict[str, Any]:
    """The pictures of the first seed that finished."""
    pictures: list[dict[str, str]] = []
    shown = group.finished[0] if group.finished else None
    if shown is not None:
        folder = of_run[str(shown["name"])] / "figures"
        pictures = [
            {"caption": text, "uri": _data_uri(folder / f"{file}.png", PICTURE_WIDTH)}
            for file, text in PICTURES.items()
            if (folder / f"{file}.png").is_file()
        ]
    failures = [
        f"{row['name']} failed at step {row[FAILED]}: its loss was not finite."
        for row in group.rows
        if row.get(FAILED) is not None
    ]
    return {
        "name": name,
        "run": None if shown is None else shown["name"],
        "failures": failures,
        "pictures": pictures,
    }


def _state(group: Setting) -> str:
    failed = len(group.rows) - len(group.finished)
    return f"{failed} of {len(group.rows)} failed" if failed else ""


def _config_lines(
    config: Mapping[str, Any], groups: Sequence[Setting], swept: Sequence[str]
) -> dict[str, list[tuple[str, str, bool]]]:
    """Section -> (field, value, whether it was swept), all swept values in one line."""
    lines: dict[str, list[tuple[str, str, bool]]] = {}
    flat = _flatten(config)
    # Fields without a section first.
    for field in sorted(dict.fromkeys([*flat, *swept]), key=lambda name: "." in name):
        values = [group.values[field] for group in groups if field in swept]
        text = ", ".join(dict.fromkeys(map(_config_text, values)))
        section, _, name = field.rpartition(".")
        line = (name, text if values else _config_text(flat[field]), bool(values))
        lines.setdefault(section, []).append(line)
    return lines


def _config_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else exact(value)


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
