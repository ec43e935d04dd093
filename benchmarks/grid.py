"""A grid of KL weights as one program, against the same runs one after the other.

    python -m benchmarks.grid [--config=configs/digits.py] [--members=16] [--json=FILE]

Whole processes, start-up, compilation, evaluation and figures included:
`experiments.train` once per KL weight, then one `experiments.ablate`, each side with a
compilation cache of its own that starts empty ("own"), and without one ("off"). It
takes minutes, so it is no part of `make bench`; benchmarks/ensembles.py times the steps
alone.
"""

import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from benchmarks.common import make_parser, save


def program(name: str, *arguments: object) -> float:
    """Seconds that `python -m experiments.NAME` takes."""
    command = [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(config: str, weights: Sequence[float], cached: bool) -> tuple[float, float]:
    """Seconds of the single runs together, and of the grid."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)

        def run(name: str, *arguments: object) -> float:
            cache = out / f"cache-{name}" if cached else ""
            return program(
                name, f"--config={config}", f"--compilation_cache={cache}", *arguments
            )

        singles = sum(
            run(
                "train",
                f"--workdir={out / f'single-{m}'}",
                f"--config.hparams.kl_weight={weight}",
            )
            for m, weight in enumerate(weights)
        )
        grid = run(
            "ablate",
            f"--workdir={out / 'grid'}",
            f"--sweep=hparams.kl_weight={','.join(map(str, weights))}",
        )
    return singles, grid


def main() -> None:
    """Prints the times of the single runs and of the grid, round by round."""
    parser = make_parser(__doc__, rounds=1)
    parser.add_argument("--config", default="configs/digits.py")
    parser.add_argument("--members", type=int, default=16)
    flags = parser.parse_args()
    count = flags.members
    weights = [round(8 * m / max(1, count - 1), 4) for m in range(count)]
    table = []
    print(f"cache  {count} runs in turn, s  each, s  one grid, s  ratio")
    for _ in range(flags.rounds):
        for cache in ("own", "off"):
            singles, grid = measure(flags.config, weights, cache == "own")
            ratio = singles / grid
            table.append(
                {"cache": cache, "in_turn": singles, "grid": grid, "ratio": ratio}
            )
            print(
                f"{cache:5} {singles:18.1f} {singles / count:8.1f} {grid:12.1f}"
                f" {ratio:6.1f}",
                flush=True,
            )
    save(table, flags.json)


if __name__ == "__main__":
    main()
