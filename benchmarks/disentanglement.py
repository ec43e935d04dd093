"""All metrics of disentanglement on codes whose faults are known, and what they cost.

    python -m benchmarks.disentanglement [--errors] [--json=FILE]

10,000 examples with the factors of dSprites (3, 6, 40, 32 and 32 values). The codes are
the factors themselves ("perfect") and what is made of them; see `known_codes`. The
second table has the seconds of each metric, and of the measure `disentanglement` with
its standard errors, on codes of ten dimensions that are half signal and half noise.
With --errors, it compares the standard errors of 2,000 examples with the spread over
30 data sets of that size instead.
"""

import os
import time
from collections.abc import Mapping

import numpy as np

from benchmarks.common import make_parser, save
from vae_jax.evaluation.disentanglement import all_metrics, information_table, mig
from vae_jax.evaluation.disentanglement.together import METRICS, Numbers

SIZES = (3, 6, 40, 32, 32)  # shape, scale, orientation, x, y
NUM = 10_000
MIXED = "x and y rotated"


def made_factors(
    num: int = NUM, seed: int = 0, sizes: tuple[int, ...] = SIZES
) -> np.ndarray:
    """Values drawn uniformly and independently, [num, F]."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(size, size=num) for size in sizes], axis=1)


def known_codes(factors: np.ndarray, seed: int = 1) -> dict[str, np.ndarray]:
    """Codes by what is wrong with them, [N, D].

    Args:
        factors: [N, 5], the last two those that are rotated into one another.
        seed: seed of the noise.
    """
    rng = np.random.default_rng(seed)
    perfect = factors.astype(float)
    noise = rng.normal(size=perfect.shape)
    outlier = perfect.copy()
    outlier[0] = 50.0
    rotated = perfect.copy()
    rotated[:, 3] = (perfect[:, 3] + perfect[:, 4]) / np.sqrt(2)
    rotated[:, 4] = (perfect[:, 3] - perfect[:, 4]) / np.sqrt(2)
    return {
        "perfect": perfect,
        "one outlier": outlier,
        "each factor twice": np.concatenate([perfect, perfect], axis=1),
        MIXED: rotated,
        "noise": noise,
        "perfect and 5 of noise": np.concatenate([perfect, noise], axis=1),
        "constant": np.zeros_like(perfect),
    }


def noisy_codes(factors: np.ndarray, seed: int = 2) -> np.ndarray:
    """Factors with noise of a quarter of their spread, and noise alone, [N, 10]."""
    rng = np.random.default_rng(seed)
    z = factors - factors.mean(axis=0)
    z = z / z.std(axis=0) + 0.25 * rng.normal(size=z.shape)
    return np.concatenate([z, rng.normal(size=z.shape)], axis=1)


def golden(factors: np.ndarray) -> dict[str, Numbers]:
    """All metrics of all known codes, with the bins of the papers beside ours."""
    table: dict[str, Numbers] = {}
    for name, codes in known_codes(factors).items():
        equal_width = mig(codes, factors, equal_width=True)
        table[name] = {"mig, equal_width": equal_width}
        for metric in METRICS:
            table[name] |= metric.numbers(codes, factors, 0)
    return table


def print_table(table: Mapping[str, Numbers]) -> None:
    """Prints a row per metric and a column per code, in Markdown."""
    print("| | " + " | ".join(table) + " |")
    print("|---" * (len(table) + 1) + "|")
    for key in next(iter(table.values())):
        values = [own[key] for own in table.values()]
        cells = ["–" if v is None else f"{round(v, 3) + 0.0:.3f}" for v in values]
        print(f"| `{key}` | " + " | ".join(cells) + " |")


def error_ratios(num_sets: int = 30, num: int = 2000) -> dict[str, float]:
    """Mean estimated standard error over the spread between data sets, by metric.

    Args:
        num_sets: data sets that the spread is taken over; the errors are estimated on
            the first six of them.
        num: examples in each.
    """
    sets = []
    for seed in range(num_sets):
        factors = made_factors(num, seed, (3, 4, 6))
        sets.append((factors + blurred(factors, seed), factors))
    truth = [
        {k: v for metric in METRICS for k, v in metric.numbers(*own, seed).items()}
        for seed, own in enumerate(sets)
    ]
    found = [all_metrics(*own, seed=seed) for seed, own in enumerate(sets[:6])]

    def values(table: list[Numbers], key: str) -> list[float]:
        return [own[key] or 0.0 for own in table]

    return {
        key: float(np.mean(values(found, f"{key}_standard_error")))
        / float(np.std(values(truth, key), ddof=1))
        for key in truth[0]
    }


def blurred(factors: np.ndarray, seed: int) -> np.ndarray:
    """Noise, and a part of the next factor, so that no metric is at an end, [N, F]."""
    noise = np.random.default_rng([seed, 1]).normal(size=factors.shape)
    return 0.7 * noise + 0.5 * np.roll(factors, 1, axis=1)


def main() -> None:
    """Prints the tables."""
    parser = make_parser(__doc__, rounds=1)
    parser.add_argument("--errors", action="store_true", help="only try the errors")
    args = parser.parse_args()
    if args.errors:
        ratios = error_ratios()
        print("standard error over spread between data sets:")
        for key, ratio in ratios.items():
            print(f"{key:>28} {ratio:8.2f}")
        save(ratios, args.json)
        return
    factors = made_factors()
    table = golden(factors)
    print_table(table)
    codes = noisy_codes(factors)
    information_table(codes, factors)  # imports
    times = {}
    for metric in METRICS:
        start = time.perf_counter()
        metric.numbers(codes, factors, 0)
        times[", ".join(metric.keys)] = time.perf_counter() - start
    start, cpu = time.perf_counter(), time.process_time()
    numbers = all_metrics(codes, factors)
    times["all, with standard errors"] = time.perf_counter() - start
    times["the same, CPU time"] = time.process_time() - cpu
    print(f"\nseconds on {os.cpu_count()} cores, {codes.shape} codes:")
    for name, spent in times.items():
        print(f"{name:>28} {spent:8.2f}")
    print(numbers)
    save({"golden": table, "seconds": times, "noisy": numbers}, args.json)


if __name__ == "__main__":
    main()
