"""Results as a table on the terminal."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

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
    """Prints name, value and unit of each result, and where to look."""
    table = Table("result", "value", "unit", title=str(workdir))
    for name, value in results.items():
        text = f"{value:.5g}" if isinstance(value, float) else str(value)
        table.add_row(
            name, "not defined" if value is None else text, UNITS.get(name, "")
        )
    console = Console()
    console.print(table)
    path = pathlib.Path(workdir)
    console.print(f"figures: {path / 'figures'}   metrics: {path / 'metrics.jsonl'}")
    console.print(f"curves:  tensorboard --logdir={path}", highlight=False)
