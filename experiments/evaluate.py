"""Evaluates a trained run again: another split, more samples.

    python -m experiments.evaluate --workdir=runs/mnist --num_samples=1000

Prints the numbers and writes them to WORKDIR/evaluation/SPLIT_kK.json; results.json,
which belongs to training, stays as it is.
"""

import pathlib

from absl import flags

from experiments import cli
from vae_jax.errors import ConfigError
from vae_jax.runs import opened
from vae_jax.runs.evaluator import Evaluator
from vae_jax.workdir import tables
from vae_jax.workdir.progress import ProgressBar
from vae_jax.workdir.writers import write_json

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a trained run.")
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "validation", "test"], "Which images."
)
_NUM_SAMPLES = flags.DEFINE_integer(
    "num_samples", 1000, "K of the importance-weighted NLL."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where the data lie, if moved.")


def main() -> None:
    """Evaluates and prints."""
    cli.required(workdir=_WORKDIR.value)
    num_samples = _NUM_SAMPLES.value
    if num_samples < 1:
        raise ConfigError(f"--num_samples={num_samples}: must be at least 1")
    run = opened.open_run(_WORKDIR.value)
    evaluator = Evaluator(run.config, run.dataset(_DATA_DIR.value))
    total = len(getattr(evaluator.dataset, _SPLIT.value))
    with ProgressBar(f"evaluate {_SPLIT.value}", total, unit="images") as bar:
        statistics = evaluator.statistics(
            run.params,
            _SPLIT.value,
            num_samples,
            run.key("evaluation"),
            lambda done, _: bar.update(done, {}),
        )
    results = {"step": run.step, "split": _SPLIT.value}
    results |= evaluator.summary(statistics, num_samples)
    folder = pathlib.Path(run.workdir) / "evaluation"
    folder.mkdir(exist_ok=True)
    write_json(folder / f"{_SPLIT.value}_k{num_samples}.json", results)
    tables.print_results(_WORKDIR.value, results)


if __name__ == "__main__":
    cli.run(main)
