"""Compares finished runs: results.csv, summary.csv, figures/ and report.html.

    python -m experiments.report --workdirs=runs/a,runs/b --out=runs/report
    python -m experiments.report --workdirs='runs/kl/shards/*' --out=runs/report

A grid's workdir stands for all its members, and a pattern for the folders that match.
Of shards of a grid, what has finished is compared; what is missing or failed is listed,
with the command that trains what is missing. Settings are distinguished by the config
fields that differ between the runs; runs that differ in their seed only are averaged.
"""

import shlex
import sys

from absl import flags, logging

from experiments import cli, config_files
from vae_jax.errors import ConfigError

_WORKDIRS = flags.DEFINE_string(
    "workdirs", None, "DIR,DIR,...: workdirs of finished runs; may hold patterns."
)
_OUT = cli.define_path("out", None, "Folder for the report; made if it is missing.")
_TITLE = flags.DEFINE_string(
    "title", None, "Title of the report; default: name of --out."
)


def main() -> None:
    """Reads the runs and writes the report."""
    cli.required(workdirs=_WORKDIRS.value, out=_OUT.value)
    out = _OUT.value
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out={out} is a file: give a folder for the report")
    if (out / "grid.json").is_file():
        raise ConfigError(
            f"--out={out} holds a grid, whose results.csv says which members failed:"
            " choose another folder for the report"
        )
    from vae_jax.runs import finish, finished

    workdirs = finished.split_workdirs(_WORKDIRS.value)
    runs = finished.read_finished(workdirs, with_failed=True)
    logging.info("drawing the report of %d runs", len(runs.rows))
    from vae_jax.report import terminal
    from vae_jax.report.page import write_report  # matplotlib is slow to import
    from vae_jax.report.summary import print_summary

    fields = config_files.defaults()
    commands = [
        finished.train_command(config, fields, folder)
        for config, folder in zip(runs.configs, runs.workdirs, strict=True)
        if not any(folder in grid.runs for grid in runs.grids)
    ]
    commands += [line for grid in runs.grids for line in grid.commands]
    commands.append(shlex.join(["python", "-m", "vae_jax", "report", *sys.argv[1:]]))
    report = write_report(
        out,
        runs.rows,
        runs.folders,
        quantities=finish.quantities(),
        swept=runs.swept,
        config=runs.shared,
        commands=commands,
        title=_TITLE.value or out.resolve().name,
    )
    print_summary(runs.rows, runs.swept, report)
    for grid in runs.grids:
        for sentence in grid.sentences:
            terminal.print_text(sentence)


if __name__ == "__main__":
    cli.run(main)
