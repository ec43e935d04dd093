"""Images per second and memory of the importance-weighted NLL, for several K.

    python -m benchmarks.nll [--num_samples 100 5000] [--decoded=200000] [--rounds=7]
        [--json=FILE]

The network is that of Burda et al. 2016 with one layer, 784-200-200-50-200-200-784. The
product of two 2,048 x 2,048 matrices is timed between the rounds, because what a shared
machine gives changes within minutes; the share of it that the decoder's products reach
is that of the medians. Memory is what the compiled program holds beside its arguments,
and the most that the process has held so far, all of JAX included.
"""

import argparse
import resource
import statistics
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks.common import RSS_UNIT, SIZE, make_parser, make_product, save, seconds
from vae_jax.evaluation.likelihood import evaluate_examples, importance_statistics
from vae_jax.keys import root_key
from vae_jax.likelihoods import BernoulliLikelihood
from vae_jax.models.vae import VAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.posteriors import DiagonalNormalPosterior
from vae_jax.priors import StandardNormal
from vae_jax.training.functions import ModelFunctions, model_functions
from vae_jax.types import Array, Params

DECODER_MULTIPLICATIONS = 50 * 200 + 200 * 200 + 200 * 784  # per decoded image
HEADER = ("K", "images/s", "GFLOP/s", "share of peak", "program MB", "process MB")


def make_model() -> ModelFunctions:
    """One stochastic layer, as in Burda et al. 2016."""
    encoder = nn.Sequential(
        [MLPEncoder((200, 200), nn.tanh), DiagonalNormalPosterior(50)]
    )
    decoder = nn.Sequential(
        [MLPDecoder((28, 28, 1), (200, 200), nn.tanh), BernoulliLikelihood()]
    )
    return model_functions(VAE(encoder, StandardNormal(50), decoder))


def make_evaluation(
    functions: ModelFunctions,
    num_images: int,
    num_samples: int,
    batch_size: int,
    sample_chunk: int,
) -> tuple[Callable[[], Any], Params, Array]:
    """The NLL of made-up images as a function, with the parameters and images."""
    shape = (num_images, 28, 28, 1)
    x = jax.random.bernoulli(jax.random.key(0), 0.3, shape).astype(jnp.float32)
    params = functions.init(jax.random.key(1), x[:1])

    def evaluate() -> Any:
        return evaluate_examples(
            functions.apply,
            params,
            lambda rows: x[rows],
            len(x),
            root_key(2),
            num_samples=num_samples,
            batch_size=batch_size,
            sample_chunk=sample_chunk,
        )

    return evaluate, params, x


def program_bytes(
    functions: ModelFunctions,
    params: Params,
    x: Array,
    args: argparse.Namespace,
    k: int,
) -> int:
    """Temporary memory of one batch's program."""

    def batch(params: Params, x: Array, key: Array) -> Any:
        return importance_statistics(
            functions.apply, params, x, key, k, args.sample_chunk
        )

    compiled = jax.jit(batch).lower(params, x[: args.batch_size], root_key(2))
    return compiled.compile().memory_analysis().temp_size_in_bytes


def main() -> None:
    """Prints a table with a row for each K."""
    parser = make_parser(__doc__, rounds=7)
    parser.add_argument("--num_samples", type=int, nargs="+", default=[100, 5000])
    parser.add_argument(
        "--decoded", type=int, default=200_000, help="images times samples in a round"
    )
    parser.add_argument("--batch_size", type=int, default=20)
    parser.add_argument("--sample_chunk", type=int, default=50)
    args = parser.parse_args()

    functions = make_model()
    sizes = (args.batch_size, args.sample_chunk)
    product = make_product()
    print("".join(f"{name:>15}" for name in HEADER))
    all_peaks: list[float] = []
    table = []
    for k in sorted(args.num_samples):
        num_images = max(args.batch_size, args.decoded // k)
        evaluate, params, x = make_evaluation(functions, num_images, k, *sizes)
        seconds(evaluate)  # compile
        times, peaks = [], []
        for _ in range(args.rounds):
            peaks.append(product())
            times.append(seconds(evaluate))
        all_peaks += peaks
        images_per_second = num_images / statistics.median(times)
        flops = 2 * DECODER_MULTIPLICATIONS * k * images_per_second
        peak = statistics.median(peaks)
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
        program = program_bytes(functions, params, x, args, k)
        table.append(
            {
                "num_samples": k,
                "images_per_second": images_per_second,
                "share_of_peak": flops / peak,
                "program_mb": program / 1e6,
                "process_mb": held / 1e6,
            }
        )
        cells = (
            f"{k}",
            f"{images_per_second:.1f}",
            f"{flops / 1e9:.0f}",
            f"{flops / peak:.2f}",
            f"{program / 1e6:.1f}",
            f"{held / 1e6:.0f}",
        )
        print("".join(f"{cell:>15}" for cell in cells), flush=True)
    peak = statistics.median(all_peaks)
    print(
        f"{jax.devices()[0].device_kind}: the product of {SIZE} x {SIZE} float32"
        f" matrices gives {peak / 1e9:.0f} GFLOP/s"
    )
    save(table, args.json)


if __name__ == "__main__":
    main()
