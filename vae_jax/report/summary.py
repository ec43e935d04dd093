"""A report's summary on the terminal: a line for each setting."""

import pathlib
from collections.abc import Sequence

from vae_jax.report import terminal
from vae_jax.report.compare import Row, Setting, amount, finite, setting_names, settings

SHOWN = 20  # settings, evenly chosen if there are more
COLUMNS = {  # the distortion is minus the sum of the first two
    "elbo": "ELBO, nats",
    "rate": "rate",
    "coverage": "coverage",
}


def print_summary(
    rows: Sequence[Row], swept: Sequence[str], report: pathlib.Path
) -> None:
    """Prints ELBO, rate and coverage of each setting.

    Means over seeds have the standard error of the mean behind a ±.

    Args:
        rows: as `page.write_report` takes them.
        swept: config fields that differ between the runs, the seed aside.
        report: the HTML file.
    """
    groups = settings(finite(rows), swept)
    names = setting_names(groups, swept)
    some = range(0, len(groups), -(-len(groups) // SHOWN))
    terminal.print_table(
        ("setting", "runs", *COLUMNS.values()),
        [
            (names[i], _count(groups[i]), *(amount(groups[i], key) for key in COLUMNS))
            for i in some
        ],
    )
    if len(some) < len(groups):
        place = report.parent / "summary.csv"
        print(f"{len(some)} of {len(groups)} settings; all of them: {place}")
    print(f"report: {report}")


def _count(group: Setting) -> str:
    """How many runs a setting has, and how many of them did not fail."""
    done, all_of_them = len(group.finished), len(group.rows)
    return str(done) if done == all_of_them else f"{done} of {all_of_them}"
