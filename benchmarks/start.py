"""Start-up and memory of `experiments.train`, with a cold and a warm compilation cache.

    python -m benchmarks.start [--config=configs/mnist.py] [--data_dir=DIR] [--rounds=3]
    python -m benchmarks.start --config=configs/digits.py --whole

Whole processes, cold and warm in turn, up to the line that says that the first step is
on its way, seen from outside; then a few steps, a checkpoint and an evaluation with one
sample, for the most memory that the process held. With --whole all measures and figures
of the config follow, as at the end of every run.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.common import RSS_UNIT, make_parser, save

LEAST = ["num_samples=1", "figures=False", "measures=likelihood"]  # of config.eval


def start(
    config: str, data_dir: str, cache: str, whole: bool
) -> tuple[float, float, float]:
    """Seconds to the first step and to the end, and MB of the process."""
    with tempfile.TemporaryDirectory() as workdir:
        command = [sys.executable, "-m", "experiments.train", f"--config={config}"]
        command += [f"--workdir={workdir}/run", f"--config.data.dir={data_dir}"]
        command += ["--config.train.num_steps=20"]
        command += [] if whole else [f"--config.eval.{field}" for field in LEAST]
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
        ended = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not told:
        raise SystemExit(f"{' '.join(command)}: failed\n{''.join(lines)}")
    return told, ended, usage.ru_maxrss * RSS_UNIT / 1e6


def main() -> None:
    """Prints the table."""
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--config", default="configs/mnist.py")
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--whole", action="store_true", help="with all measures")
    flags = parser.parse_args()
    taken: dict[str, list[tuple[float, float, float]]] = {"cold": [], "warm": []}
    for _ in range(flags.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for runs in taken.values():  # the second finds what the first has compiled
                runs.append(start(flags.config, flags.data_dir, cache, flags.whole))
    print(
        f"{'cache':6} {'s to first step':>20} {'s to the end':>20} {'MB at most':>11}"
    )
    table = {}
    for kind, runs in taken.items():
        first, ended, megabytes = zip(*runs, strict=True)
        table[kind] = {
            "seconds_to_first_step": statistics.median(first),
            "spread": [min(first), max(first)],
            "seconds_to_the_end": statistics.median(ended),
            "spread_of_the_end": [min(ended), max(ended)],
            "peak_mb": max(megabytes),
        }
        texts = [
            f"{statistics.median(times):.1f} ({min(times):.1f}-{max(times):.1f})"
            for times in (first, ended)
        ]
        print(f"{kind:6} {texts[0]:>20} {texts[1]:>20} {max(megabytes):11.0f}")
    save(table, flags.json)


if __name__ == "__main__":
    main()
