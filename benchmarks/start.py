"""Start-up and memory of `experiments.train`, with a cold and a warm compilation cache.

    python -m benchmarks.start [--config=configs/mnist.py] [--data_dir=DIR] [--rounds=3]

Whole processes, cold and warm in turn, up to the line that says that the first step is
on its way, seen from outside; then a few steps, a checkpoint and an evaluation with one
sample, for the most memory that the process held.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.common import RSS_UNIT, make_parser, save


def start(config: str, data_dir: str, cache: str) -> tuple[float, float]:
    """Seconds to the first step, and MB of the process."""
    with tempfile.TemporaryDirectory() as workdir:
        command = [sys.executable, "-m", "experiments.train", f"--config={config}"]
        command += [f"--workdir={workdir}/run", f"--config.data.dir={data_dir}"]
        command += ["--config.train.num_steps=20", "--config.eval.num_samples=1"]
        command += ["--config.eval.figures=False", "--config.eval.measures=likelihood"]
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache},
        )
        assert process.stderr
        told, lines = 0.0, []
        for line in process.stderr:
            lines.append(line)
            if "the first step took" in line:
                told = time.perf_counter() - began
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not told:
        raise SystemExit(f"{' '.join(command)}: failed\n{''.join(lines)}")
    return told, usage.ru_maxrss * RSS_UNIT / 1e6


def main() -> None:
    """Prints the table."""
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--config", default="configs/mnist.py")
    parser.add_argument("--data_dir", default="")
    flags = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
    for _ in range(flags.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for kind in taken:  # the second finds what the first has compiled
                taken[kind].append(start(flags.config, flags.data_dir, cache))
    print(f"{'cache':6} {'s to first step':>16} {'spread':>11} {'MB at most':>11}")
    table = {}
    for kind, pairs in taken.items():
        times = [seconds for seconds, _ in pairs]
        table[kind] = {
            "seconds_to_first_step": statistics.median(times),
            "spread": [min(times), max(times)],
            "peak_mb": max(megabytes for _, megabytes in pairs),
        }
        print(
            f"{kind:6} {table[kind]['seconds_to_first_step']:16.1f}"
            f" {f'{min(times):.1f}-{max(times):.1f}':>11}"
            f" {table[kind]['peak_mb']:11.0f}"
        )
    save(table, flags.json)


if __name__ == "__main__":
    main()
