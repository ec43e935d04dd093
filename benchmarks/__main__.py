"""The benchmarks, one table after the other, and all of them as JSON.

    python -m benchmarks [--torch=PYTHON] [--data_dir=DIR] [--json=runs/bench.json]

`make bench-torch` makes a Python with PyTorch and pythae to compare with.
"""

import argparse
import json
import pathlib

from benchmarks import start, train

STEPS = {"mlp": 2000, "conv": 200, "cifar": 100}


def main() -> None:
    """Runs and prints everything that returns a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", help="a Python that has torch, perhaps pythae")
    parser.add_argument("--data_dir", help="holds MNIST; else start-up with digits")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, default="runs/bench.json")
    flags = parser.parse_args()
    tables = {}
    rounds = f"--rounds={flags.rounds}"
    twin = [f"--torch={flags.torch}"] if flags.torch else []
    for model, steps in STEPS.items():
        print(f"\n== training, {model}")
        arguments = [f"--model={model}", f"--steps={steps}", rounds, *twin]
        tables[f"train {model}"] = train.main(arguments)
    print("\n== start-up")
    if flags.data_dir:
        arguments = ["--config=configs/mnist.py", f"--data_dir={flags.data_dir}"]
    else:
        arguments = ["--config=configs/digits.py"]
    tables["start"] = start.main([*arguments, rounds])
    flags.json.parent.mkdir(parents=True, exist_ok=True)
    flags.json.write_text(json.dumps(tables, indent=1))
    print(f"\n{flags.json}")


if __name__ == "__main__":
    main()
