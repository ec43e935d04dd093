"""Images per second of the NLL with K = 5,000 samples, and share of the matmul peak.

The network is that of Burda et al. 2016 with one layer, 784-200-200-50-200-200-784. The
product of two 2,048 x 2,048 matrices is timed between the rounds, because what a shared
machine gives changes within minutes; medians of both are compared.

    python -m benchmarks.nll [--images=40] [--num_samples=5000] [--rounds=7]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.evaluation.likelihood import evaluate_images, importance_statistics
from vae_jax.likelihoods import BernoulliLikelihood
from vae_jax.models.vae import VAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.posteriors import DiagonalNormalPosterior
from vae_jax.priors import StandardNormal
from vae_jax.training.step import model_functions
from vae_jax.types import Array

SIZE = 2048
DECODER_MULTIPLICATIONS = 50 * 200 + 200 * 200 + 200 * 784  # per decoded image


def seconds(function: Callable[..., Any], *args: Any) -> float:
    """Wall time of one call whose result is waited for."""
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - start


def main() -> None:
    """Prints one line per number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--num_samples", type=int, default=5000)
    parser.add_argument("--batch_size", type=int, default=20)
    parser.add_argument("--sample_chunk", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()

    encoder = nn.Sequential(
        [MLPEncoder((200, 200), nn.tanh), DiagonalNormalPosterior(50)]
    )
    decoder = nn.Sequential(
        [MLPDecoder((28, 28, 1), (200, 200), nn.tanh), BernoulliLikelihood()]
    )
    functions = model_functions(VAE(encoder, StandardNormal(50), decoder))
    shape = (args.images, 28, 28, 1)
    x = jax.random.bernoulli(jax.random.key(0), 0.3, shape).astype(jnp.float32)
    params = functions.init(jax.random.key(1), x)

    def rows_to_x(images: Array, rows: Array) -> Array:
        return images

    def evaluate() -> Any:
        return evaluate_images(
            functions.apply,
            params,
            x,
            rows_to_x,
            jax.random.key(2),
            num_samples=args.num_samples,
            batch_size=args.batch_size,
            sample_chunk=args.sample_chunk,
        )

    matrix = jax.random.normal(jax.random.key(3), (SIZE, SIZE))
    product = jax.jit(jnp.matmul)
    seconds(evaluate), seconds(product, matrix, matrix)  # compile
    times, product_times = [], []
    for _ in range(args.rounds):
        product_times.append(min(seconds(product, matrix, matrix) for _ in range(5)))
        times.append(seconds(evaluate))

    images_per_second = args.images / statistics.median(times)
    flops = 2 * DECODER_MULTIPLICATIONS * args.num_samples * images_per_second
    peak = 2 * SIZE**3 / statistics.median(product_times)
    compiled = (
        jax.jit(
            lambda params, x, key: importance_statistics(
                functions.apply, params, x, key, args.num_samples, args.sample_chunk
            )
        )
        .lower(params, x[: args.batch_size], jax.random.key(2))
        .compile()
    )
    temporaries = compiled.memory_analysis().temp_size_in_bytes
    print(f"device              {jax.devices()[0].device_kind}")
    print(f"images/s            {images_per_second:.1f}  (K={args.num_samples})")
    print(f"decoder products    {flops / 1e9:.0f} GFLOP/s")
    print(f"matrix-product peak {peak / 1e9:.0f} GFLOP/s, {SIZE} x {SIZE}, float32")
    print(f"share of the peak   {flops / peak:.2f}")
    print(f"temporary memory    {temporaries / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
