"""Writes the posterior of every image of a split.

    python -m experiments.encode --workdir=runs/mnist --split=test --out=codes.npz

The .npz holds `mean` and `std` [N, D] and, where the data have them, `labels` [N].
"""

import pathlib

import numpy as np
from absl import flags

from experiments import cli
from vae_jax.errors import ConfigError
from vae_jax.runs import opened
from vae_jax.runs.evaluator import Evaluator
from vae_jax.workdir.files import writing

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "validation", "test"], "Which images."
)
_OUT = cli.define_path("out", None, "FILE.npz.")
_DATA_DIR = cli.define_path("data_dir", None, "Where the data lie, if moved.")


def main() -> None:
    """Encodes and writes."""
    cli.required(workdir=_WORKDIR.value, out=_OUT.value)
    out = pathlib.Path(_OUT.value)
    if out.suffix != ".npz":
        raise ConfigError(f"--out={out}: must end in .npz")
    run = opened.open_run(_WORKDIR.value)
    evaluator = Evaluator(run.config, run.dataset(_DATA_DIR.value))
    statistics = evaluator.statistics(
        run.params, _SPLIT.value, 1, run.key("evaluation")
    )
    codes = {
        "mean": statistics["mean"][0],
        "std": np.sqrt(statistics["variance"][0]),
    }
    labels = getattr(evaluator.dataset, _SPLIT.value).labels
    if labels is not None:
        codes["labels"] = labels
    with writing(f"--out={out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(out, **codes)
    print(f"{len(codes['mean'])} codes of {codes['mean'].shape[1]} dimensions in {out}")


if __name__ == "__main__":
    cli.run(main)
