"""A grid of KL weights as one program, against the same runs one after the other.

    python -m benchmarks.grid [--config=configs/digits.py] [--members=16] [--json=FILE]

Whole processes, start-up, compilation, evaluation and figures included:
`experiments.train` once per KL weight, then one `experiments.ablate`. It takes minutes,
so it is no part of `make bench`; benchmarks/ensembles.py times the steps alone.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks.common import make_parser, save


def program(name: str, *arguments: object) -> float:
    """Seconds that `python -m experiments.NAME` takes."""
    command = [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Prints the times of the single runs and of the grid, round by round."""
    parser = make_parser(__doc__, rounds=1)
    parser.add_argument("--config", default="configs/digits.py")
    parser.add_argument("--members", type=int, default=16)
    flags = parser.parse_args()
    count = flags.members
    weights = [round(8 * m / (count - 1), 4) for m in range(count)]
    table = []
    for _ in range(flags.rounds):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder)
            singles = [
                program(
                    "train",
                    f"--config={flags.config}",
                    f"--workdir={out / f'single-{m}'}",
                    f"--config.objective.kl_weight={weight}",
                )
                for m, weight in enumerate(weights)
            ]
            grid = program(
                "ablate",
                f"--config={flags.config}",
                f"--workdir={out / 'grid'}",
                f"--sweep=objective.kl_weight={','.join(map(str, weights))}",
            )
        total = sum(singles)
        table.append({"in_turn": total, "grid": grid, "ratio": total / grid})
        print(f"{count} runs in turn  {total:7.1f} s  ({total / count:.1f} s each)")
        print(f"one grid of {count:2d}   {grid:7.1f} s")
        print(f"ratio            {total / grid:7.1f}", flush=True)
    save(table, flags.json)


if __name__ == "__main__":
    main()
