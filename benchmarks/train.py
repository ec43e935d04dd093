"""Training throughput of the real loop, against a bare loop and against PyTorch.

    python -m benchmarks.train [--model=mlp] [--steps=4000] [--rounds=5] [--torch=PY]
        [--json=FILE]

Models: `mlp` is 784-400-20-400-784 on 28x28 pixels that are binarised anew at each
visit; `conv` two convolutions (32, 64) on the same; `cifar` three (32, 64, 128) on
32x32x3 with a normal likelihood. Batches of 128 of made-up images. The kinds take
turns, and medians over the rounds are compared:

- real: `runs.fit` with the progress bar, metrics and checkpoints of
  configs/default.py, but at least two checkpoints, from its first report to its last.
- streamed: the same with a data.device_budget_mb that the images exceed.
- bare: the same preprocessing and step in one `lax.scan`.
- indexed, loader, pythae: benchmarks/torch_twin.py, run by the Python of --torch: rows
  of a tensor in memory, a DataLoader over images, and pythae's trainer (`mlp` only).

The share of the peak counts the FLOPs of the objective's gradient, as XLA counts them.
"""

import contextlib
import os
import pathlib
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict

from benchmarks.common import (
    make_parser,
    make_product,
    needed,
    ratios,
    save,
    take_turns,
)
from benchmarks.workload import MODELS, bare, flops_per_step, made
from vae_jax.runs.fit import fit
from vae_jax.runs.program import Program, prepare
from vae_jax.runs.tracking import Tracking
from vae_jax.training.mesh import make_layout


def real(config: ConfigDict) -> Callable[[], float]:
    """Steps per second of the real loop, by the times of its reports."""
    reader = needed("tensorboard.backend.event_processing.event_accumulator", "dev")
    prepared = prepare(config)
    layout = make_layout({"data": 1}, batch_size=config.data.batch_size)

    def measure() -> float:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            program = Program([config], [folder], folder, prepared, "exact", layout)
            with Tracking(program) as tracking:
                fit(program, "real", tracking)
            events = next(folder.rglob("events.*")).parent
            reports = (
                reader.EventAccumulator(str(events)).Reload().Scalars("train/loss")
            )
        first, last = reports[0], reports[-1]
        return (last.step - first.step) / (last.wall_time - first.wall_time)

    return measure


@contextlib.contextmanager
def torch_kinds(
    python: str, model: str, config: ConfigDict
) -> Iterator[dict[str, Callable[[], float]]]:
    """Steps per second of the twin's kinds, in a process that waits between them."""
    script = pathlib.Path(__file__).with_name("torch_twin.py")
    steps = config.train.num_steps
    path = config.data.name.removeprefix("npz:")
    command = [python, str(script), model, path, str(config.data.batch_size)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TQDM_DISABLE": "1"},  # pythae's bars
    ) as twin:
        assert twin.stdin and twin.stdout
        questions, answers = twin.stdin, twin.stdout

        def ask(kind: str) -> float:
            print(kind, steps, file=questions, flush=True)
            answer = answers.readline()
            if not answer:
                raise SystemExit(f"{' '.join(command)}: failed, see above")
            return float(answer)

        kinds = answers.readline().split()  # what this Python has packages for
        if not kinds:  # it has said why
            raise SystemExit(1)
        for kind in kinds:
            print(kind, 20, file=questions, flush=True)  # a warm-up
            answers.readline()
        yield {kind: lambda kind=kind: ask(kind) for kind in kinds}  # type: ignore[misc]
        questions.close()


def main() -> None:
    """Prints the table."""
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("--model", choices=MODELS, default="mlp")
    parser.add_argument("--steps", type=int, help="at least 5; by the model")
    parser.add_argument("--torch", help="a Python that has torch, perhaps pythae")
    flags = parser.parse_args()
    steps = flags.steps or MODELS[flags.model]
    with made(flags.model, steps) as (config, images), contextlib.ExitStack() as stack:
        streamed = config.copy_and_resolve_references()
        streamed.data.device_budget_mb = 0.9 * images.nbytes / 1e6
        kinds = {"real": real(config), "streamed": real(streamed), "bare": bare(config)}
        if flags.torch:
            twin = torch_kinds(flags.torch, flags.model, config)
            kinds |= stack.enter_context(twin)
        speeds = take_turns(kinds | {"peak": make_product()}, flags.rounds)
        flops = flops_per_step(config)
    peaks = speeds.pop("peak")
    print(f"{'kind':8} {'images/s':>9} {'real / it':>9} {'spread':>13} {'of peak':>8}")
    table: dict[str, Any] = {}
    for kind, values in speeds.items():
        median, least, most = ratios(speeds["real"], values)
        table[kind] = {
            "images_per_second": config.data.batch_size * statistics.median(values),
            "real_over_it": median,
            "spread": [least, most],
            "share_of_peak": ratios([flops * v for v in values], peaks)[0],
        }
        print(
            f"{kind:8} {table[kind]['images_per_second']:9.0f} {median:9.2f}"
            f" {f'{least:.2f}-{most:.2f}':>13} {table[kind]['share_of_peak']:8.2f}",
            flush=True,
        )
    peak = statistics.median(peaks) / 1e9
    print(f"peak {peak:.0f} GFLOP/s; {flops / 1e9:.3f} GFLOP per step")
    save(table | {"peak_gflops": peak}, flags.json)


if __name__ == "__main__":
    main()
