"""Total correlation of codes with a known answer, from all codes and from batches.

    python -m benchmarks.total_correlation [--num=60000]

Codes are pairs of correlated normals whose aggregated posterior has variance 1. Prints
a table with the total correlation and the rate as they are, what `decompose_rate` says
with all codes in q(z), and what the estimator of the objective beta_tc claims with 64.
"""

import argparse
import math
import time

import jax
import jax.numpy as jnp

from vae_jax.evaluation.aggregate import Codes, standard_normal
from vae_jax.evaluation.decomposition import decompose_rate

# Dimensions, standard deviation of q(z | x), correlation of the means in a pair.
CASES = ((10, 0.5, 0.0), (10, 0.5, 0.8), (10, 0.1, 0.8), (2, 0.3, 0.8))


def paired_codes(
    num: int, dim: int, std: float, correlation: float
) -> tuple[Codes, float, float]:
    """Codes, their total correlation and their information, nats.

    q(z) is N(0, C), with variances 1 and correlated pairs of dimensions.
    """
    first, second = jax.random.normal(jax.random.key(1), (2, num, dim // 2))
    other = correlation * first + math.sqrt(1 - correlation**2) * second
    mean = math.sqrt(1 - std**2) * jnp.concatenate([first, other], axis=1)
    shared = correlation * (1 - std**2)
    total_correlation = -dim / 4 * math.log(1 - shared**2)
    information = dim * -math.log(std) - total_correlation
    return Codes(mean, jnp.full((num, dim), std)), abs(total_correlation), information


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=60_000, help="how many codes")
    num = parser.parse_args().num
    heads = ("D, std, correlation", "true, of a rate of", "all codes", "bounds")
    print(f"| {' | '.join(heads)} | batches of 64 | CPU s |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        codes, tc, information = paired_codes(num, *case)
        start = time.process_time()
        found = decompose_rate(codes, standard_normal(case[0]), jax.random.key(0))
        took = time.process_time() - start
        value, error = (
            found[f"total_correlation{end}"] for end in ("", "_standard_error")
        )
        bounds = [found[f"total_correlation_{end}"] for end in ("low", "high")]
        print(
            f"| {', '.join(map(str, case))} | {tc:.2f}, {tc + information:.2f}"
            f" | {value:.2f} ± {error:.2f} | {bounds[0]:.2f} to {bounds[1]:.2f}"
            f" | {found['batch_total_correlation']:.2f} | {took:.1f} |"
        )


if __name__ == "__main__":
    main()
