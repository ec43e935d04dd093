"""Where the time of the MLP's step goes: its parts alone, each in a compiled loop.

    python -m benchmarks.parts [--rounds=5] [--json=FILE]

The MLP of benchmarks/train.py, 784-400-20-400-784 with batches of 128. "products" are
the matrix products of both directions and nothing else, "binarise" the random bits of a
batch, "adam" the update of all parameters, "step" the whole, "peak" what the products
would take at the rate of a large one. The inputs of a part change from step to step, so
that the compiler does not leave the loop out.
"""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from benchmarks.common import (
    make_chunk,
    make_images,
    make_parser,
    make_product,
    ratios,
    save,
    seconds,
    take_turns,
)
from benchmarks.growth import SHAPE, make_config
from vae_jax.data.batches import bernoulli
from vae_jax.keys import root_key

STEPS = 200  # per timed call
BATCH, PIXELS, HIDDEN, LATENT = 128, 784, 400, 20
LAYERS = ((PIXELS, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS))
# Each layer forward, and the gradients of its weights and of its input; the first
# layer's input needs none.
FLOPS = 2 * BATCH * (sum(3 * a * b for a, b in LAYERS) - PIXELS * HIDDEN)
TINY = 1e-9
Body = Callable[[Any, Any], Any]


def products(i: Any, carry: Any) -> Any:
    """Every product of a step, of arrays of the right shapes."""
    weights, layers = carry
    next_weights, next_layers = [], []
    for number, (w, (x, y)) in enumerate(zip(weights, layers, strict=True)):
        forward, weight_gradient = x @ w, x.T @ y
        input_gradient = y @ w.T if number else 0.0
        next_weights.append(w + TINY * weight_gradient)
        next_layers.append((x + TINY * input_gradient, y + TINY * forward))
    return next_weights, next_layers


def binarise(i: Any, grey: Any) -> Any:
    """One draw of every pixel of a batch."""
    key = jax.random.fold_in(root_key(0), i)
    return 0.5 + TINY * bernoulli(key, grey)


def adam(i: Any, carry: Any) -> Any:
    """One update of every weight."""
    weights, state = carry
    updates, state = optax.adam(1e-3).update(weights, state, weights)
    return optax.apply_updates(weights, updates), state


def repeated(body: Body, start: Any) -> Callable[[], float]:
    """A function that gives the seconds of one repetition."""
    run = jax.jit(lambda carry: lax.fori_loop(0, STEPS, body, carry))
    seconds(run, start)  # compile
    return lambda: seconds(run, start) / STEPS


def main() -> None:
    """Prints the table."""
    flags = make_parser(__doc__, rounds=5).parse_args()
    key = jax.random.key(0)
    weights = [0.05 * jax.random.normal(key, layer) for layer in LAYERS]
    layers = [
        (jax.random.normal(key, (BATCH, a)), jax.random.normal(key, (BATCH, b)))
        for a, b in LAYERS
    ]
    product = make_product()
    images = make_images(10_000, SHAPE)
    cases = {
        "step": make_chunk(make_config(), images, STEPS, mesh={"data": 1}),
        "products": repeated(products, (weights, layers)),
        "adam": repeated(adam, (weights, optax.adam(1e-3).init(weights))),
        "binarise": repeated(binarise, jnp.full((BATCH, *SHAPE), 0.5)),
        "peak": lambda: FLOPS / product(),  # seconds that the products would take
    }
    taken = take_turns(cases, flags.rounds)
    print("part      ms per step  share of step       spread")
    table = {}
    for part, values in taken.items():
        share, least, most = ratios(values, taken["step"])
        ms = 1e3 * statistics.median(values)
        table[part] = {"ms": ms, "share": share, "spread": [least, most]}
        print(f"{part:9} {ms:11.2f} {share:14.2f} {f'{least:.2f}-{most:.2f}':>12}")
    save(table, flags.json)


if __name__ == "__main__":
    main()
