"""Tortures the programs and prints what is promised beside what was measured.

    python -m tests.torture --minutes=10
    python -m tests.torture --rounds=1 --seed=3 --only=signals

Draws the trials in turn until the minutes are over. A trial depends on the seed and its
number alone, so a broken promise can be repeated with the flags that are printed with
it; how far a program has come at a moment depends on the machine. Ends with status 1 if
a promise was broken.
"""

import argparse
import collections
import itertools
import pathlib
import sys
import tempfile
import threading
import time
import traceback
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.torture.outcome import Outcome
from tests.torture.trials import TRIALS
from tests.torture.world import World

_PRINTING = threading.Lock()


def main() -> None:
    """Parses the flags, runs the trials, prints the table."""
    parser = argparse.ArgumentParser(
        "python -m tests.torture",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of all trials")
    parser.add_argument("--rounds", type=int, help="of each trial, not minutes")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--only", choices=[*TRIALS], help="one of the trials")
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time")
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else [*TRIALS]
    sums: dict[str, Outcome] = collections.defaultdict(Outcome)
    with tempfile.TemporaryDirectory(prefix="vae_jax-torture-") as folder:
        root = pathlib.Path(folder)
        world = World(root)
        deadline = time.monotonic() + 60 * arguments.minutes
        draws = (
            (name, number)
            for number in itertools.count(arguments.first)
            for name in names
        )
        drawing = threading.Lock()

        def work() -> None:
            while True:
                with drawing:
                    name, number = next(draws)
                if arguments.rounds is None:
                    if time.monotonic() > deadline:
                        return
                elif number >= arguments.first + arguments.rounds:
                    return
                outcome = _tried(world, arguments.seed, name, number, root)
                with drawing:
                    sums[name].add(outcome)

        with ThreadPoolExecutor(arguments.jobs) as pool:
            for future in [pool.submit(work) for _ in range(arguments.jobs)]:
                future.result()
    _print_table({name: sums[name] for name in names})
    sys.exit(any(outcome.broken for outcome in sums.values()))


def _tried(
    world: World, seed: int, name: str, number: int, root: pathlib.Path
) -> Outcome:
    """One draw of a trial in a folder of its own."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=root) as folder:
        try:
            outcome = TRIALS[name].run(world, rng, pathlib.Path(folder))
        except Exception:  # a fault of the trial must not end the others
            outcome = Outcome(broken=[f"the trial fails: {traceback.format_exc()}"])
    with _PRINTING:
        seconds = time.monotonic() - began
        print(f"{name} {number}: {outcome} ({seconds:.0f} s)", flush=True)
        for promise in outcome.broken:
            again = f"--seed={seed} --only={name} --first={number} --rounds=1"
            print(f"BROKEN {name} ({again}): {promise}", flush=True)
    return outcome


def _print_table(sums: dict[str, Outcome]) -> None:
    print("\n| what | promised | measured |\n|---|---|---|")
    for name, outcome in sums.items():
        trial = TRIALS[name]
        print(f"| {trial.what} | {trial.promised} | {outcome} |")


if __name__ == "__main__":
    main()
