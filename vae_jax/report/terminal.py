"""Results as a table on the terminal."""

import importlib.util
import os
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNITS = {
    "elbo": "nats, larger is better",
    "rate": "nats",
    "distortion": "nats",
    "nll": "nats, smaller is better",
    "nll_standard_error": "nats, over images",
    "effective_sample_size": "samples",
    "simulated_lower_bound": "nats",
    "simulated_upper_bound": "nats",
    "simulated_gap": "nats",
    "simulated_gap_standard_error": "nats, over images",
    "train_seconds": "s",
    "images_per_second": "",
    "bits_per_dim": "bits",
}


def print_results(workdir: str | os.PathLike[str], results: Mapping[str, Any]) -> None:
    """Prints name, value and unit of each result, and where to look.

    Paths are printed whole, one a line, so that they can be copied.
    """
    table = Table("result", "value", "unit", title=Text(str(workdir)))
    for name, value in results.items():
        text = f"{value:.5g}" if isinstance(value, float) else str(value)
        table.add_row(
            name, "not defined" if value is None else text, UNITS.get(name, "")
        )
    console = Console()
    console.print(table)
    path = pathlib.Path(workdir)
    lines = {"metrics": str(path / "metrics.jsonl")}
    if (path / "figures").is_dir():
        lines["figures"] = str(path / "figures")
    lines["curves"] = f"tensorboard --logdir={shlex.quote(str(path))}"
    if importlib.util.find_spec("tensorboard") is None:
        lines["curves"] += "   (first: pip install tensorboard)"
    for name, text in lines.items():
        print(f"{name + ':':<8} {text}")
