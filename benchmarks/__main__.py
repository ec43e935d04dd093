"""The benchmarks, one table after the other, and all of them as JSON.

    python -m benchmarks [--torch=PYTHON] [--data_dir=DIR] [--json=runs/bench.json]

Each is a process of its own. `make bench-torch` makes a Python with PyTorch and pythae
to compare with.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from benchmarks.common import make_parser, save


def run(name: str, *arguments: str) -> object:
    """The table of `python -m benchmarks.NAME`, which prints it as well."""
    print(f"\n== python -m benchmarks.{name} {' '.join(arguments)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "table.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        subprocess.run([*command, f"--json={path}"], check=True)
        return json.loads(path.read_text())


def main() -> None:
    """Runs everything that takes less than a few minutes."""
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--torch", help="a Python that has torch, perhaps pythae")
    parser.add_argument("--data_dir", help="holds MNIST; else start-up with digits")
    parser.set_defaults(json=pathlib.Path("runs/bench.json"))
    flags = parser.parse_args()
    rounds = f"--rounds={flags.rounds}"
    twin = [f"--torch={flags.torch}"] if flags.torch else []
    data = ["--config=configs/digits.py"]
    if flags.data_dir:
        data = ["--config=configs/mnist.py", f"--data_dir={flags.data_dir}"]
    tables = {
        f"train {model}": run("train", f"--model={model}", rounds, *twin)
        for model in ("mlp", "conv", "cifar")
    }
    tables["start"] = run("start", *data, rounds)
    tables["whole"] = run("start", "--config=configs/digits.py", "--whole", rounds)
    for name in ("parts", "checkpoints", "ensembles", "nll"):
        tables[name] = run(name, rounds)
    tables["growth"] = run("growth", rounds, f"--out={flags.json.parent}/growth.png")
    save(tables, flags.json)
    print(f"\n{flags.json}")


if __name__ == "__main__":
    main()
