"""Measures on one GPU, in the order of worth, for so many minutes.

    python -m benchmarks.gpu --data=mnist.npz --out=DIR [--minutes=8]
        [--binarized=binarized.npz] [--parts=limits,training,...] [--match=WORD]
        [--torch=PYTHON] [--small]

Parts, each with a file DIR/PART.json that grows row by row:

- limits: products, copies and launches of the card; kernels and gaps of a step.
- training: `mlp` and `conv` of benchmarks/train.py with batches of 128, 1,024 and 8,192
  in three precisions, beside PyTorch, eager and compiled.
- convolutions: those of `conv` and `cifar` as the card's library has them, and as
  products of matrices.
- members: time per step and member of ensembles of 1, 16, 64 and 256.
- likelihood: images per second of the NLL with K = 5,000.
- models: configs/top_down/gpu.py (with --binarized), configs/disentanglement/beta_tc.py
  and configs/disentanglement/xysquares.py. The first compiles for two and a half
  minutes, and is not begun with less than four and a half: --parts=models.
- rows: configs/iwae/gpu.py with VAE, IWAE K = 5 and 50.
- table: the six MNIST rows of table 1 of Burda et al. 2016 with their own schedule.

The same command with the same DIR goes on where the last sitting ended: rows that are
there are kept, and a training continues from DIR/NAME.tar. It needs jax, flax, optax,
orbax-checkpoint, ml_collections, absl-py, rich, tensorboardX and, to compare with,
torch and torchvision; no data set is downloaded. `python -m benchmarks.gpu.data
--data_dir=DATA --out=DIR` writes the two files from prepared TFDS sets. --small goes
through everything in a minute or two, on a CPU too.
"""

import argparse
import functools
import importlib.util
import os
import pathlib
import sys

# Other processes share the card's memory; before JAX is used.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from benchmarks.gpu import (  # noqa: E402
    convolutions,
    likelihood,
    limits,
    members,
    programs,
    training,
)
from benchmarks.gpu.sitting import Part, Sitting  # noqa: E402

TABLE = ("configs/iwae/one_layer.py", "configs/iwae/two_layers.py")


def make_parts(flags: argparse.Namespace) -> list[Part]:
    """All parts in the order of worth."""
    small, out, data = flags.small, flags.out, str(flags.data.absolute())
    binarized = flags.binarized and str(flags.binarized.absolute())
    models = programs.trainings(data, binarized, small)
    quick = programs.rows("configs/iwae/gpu.py", data, small)
    whole = [job for path in TABLE for job in programs.rows(path, data, small)]
    return [
        Part("limits", 2, functools.partial(limits.cases, small)),
        Part("training", 4, functools.partial(training.cases, flags.torch, small)),
        Part("convolutions", 2, functools.partial(convolutions.cases, small)),
        Part("members", 1, functools.partial(members.cases, small)),
        Part("likelihood", 1, functools.partial(likelihood.cases, small)),
        Part("models", 5, functools.partial(programs.cases, models, out)),
        Part("rows", 4, functools.partial(programs.cases, quick, out)),
        Part("table", 2, functools.partial(programs.cases, whole, out)),
    ]


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--binarized", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--parts", type=lambda text: text.split(","))
    parser.add_argument("--match", default="", help="only cases with this in the name")
    here = sys.executable if importlib.util.find_spec("torch") else None
    parser.add_argument("--torch", default=here)
    parser.add_argument("--small", action="store_true")
    flags = parser.parse_args()
    for path in filter(None, (flags.data, flags.binarized)):
        if not path.is_file():
            raise SystemExit(f"{path}: there is no such file")
    parts = make_parts(flags)
    names = [part.name for part in parts]
    asked = flags.parts or names
    if unknown := set(asked) - set(names):
        raise SystemExit(
            f"--parts={','.join(sorted(unknown))}: must be of {', '.join(names)}"
        )
    sitting = Sitting(flags.out, flags.minutes, flags.match)
    sitting.run(part for part in parts if part.name in asked)


if __name__ == "__main__":
    main()
