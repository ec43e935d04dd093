"""Convolutions as the card's library has them, and as products of matrices."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.common import make_chunk, seconds, take_turns
from benchmarks.gpu.precision import at
from benchmarks.gpu.sitting import Case
from benchmarks.gpu.training import steps_of
from benchmarks.workload import made
from vae_jax.networks import convolution

BATCHES = (8192, 128)
REPEATS = 20
ROUNDS = 3


class Layer(NamedTuple):
    """A convolution of a network of benchmarks/workload.py."""

    name: str
    image: tuple[int, int, int]  # [H, W, C]
    features: int
    size: int  # of the kernel
    stride: int
    padding: tuple[tuple[int, int], ...]
    is_first: bool = False
    """Whether nothing before it learns, so that it has no gradient of its input."""


ONE = ((1, 1), (1, 1))
LAYERS = (
    Layer("conv first", (28, 28, 1), 32, 4, 2, ONE, is_first=True),
    Layer("conv last", (14, 14, 32), 4, 2, 1, ONE),
    Layer("cifar first", (32, 32, 3), 32, 4, 2, ONE, is_first=True),
    Layer("cifar last", (16, 16, 32), 12, 2, 1, ONE),
    Layer("conv second", (14, 14, 32), 64, 4, 2, ONE),
    Layer("conv last but one", (7, 7, 64), 128, 2, 1, ONE),
)


def library(x: Any, kernel: Any, strides: Any, padding: Any) -> Any:
    """XLA's convolution, which on an NVIDIA GPU is that of cuDNN."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=numbers
    )


FORMS: dict[str, Callable[..., Any]] = {
    "library": library,
    "products": convolution.as_products,
}


def measure_layer(layer: Layer, batch: int, small: bool, left: float) -> dict[str, Any]:
    """Microseconds of the values and gradients of one layer, for each form."""
    del left
    kernel_shape = (layer.size, layer.size, layer.image[-1], layer.features)
    x = jax.random.normal(jax.random.key(0), (batch, *layer.image))
    kernel = 0.1 * jax.random.normal(jax.random.key(1), kernel_shape)

    def make_form(form: Callable[..., Any]) -> Callable[[], float]:
        def loss(kernel: Any, x: Any) -> Any:
            y = form(x, kernel, (layer.stride, layer.stride), layer.padding)
            return jnp.sum(jnp.tanh(y))

        learned = 0 if layer.is_first else (0, 1)
        gradient = at(
            "tf32", functools.partial(jax.jit(jax.grad(loss, learned)), kernel, x)
        )
        repeats = 2 if small else REPEATS

        def run() -> Any:
            return [gradient() for _ in range(repeats)][-1]

        seconds(run)  # compile
        return lambda: 1e6 * seconds(run) / repeats

    kinds = {name: make_form(form) for name, form in FORMS.items()}
    taken = take_turns(kinds, ROUNDS)
    return {name: {"us": min(values)} for name, values in taken.items()}


def measure_step(batch: int, small: bool, left: float) -> dict[str, Any]:
    """Milliseconds of a step of `conv` with the library alone, and as it is."""
    del left
    steps = steps_of(batch, small)
    with made("conv", 1_000) as (config, images):
        config.data.batch_size = batch
        make = functools.partial(make_chunk, config, images, steps, mesh={"data": 1})
        kinds = {"as it is": at("tf32", at("tf32", make)())}
        with mock.patch.object(convolution, "is_product_on_cuda", return_value=False):
            kinds["library"] = at("tf32", at("tf32", make)())
    taken = take_turns(kinds, ROUNDS)
    return {name: {"ms": 1e3 * min(values)} for name, values in taken.items()}


def cases(small: bool) -> Iterator[Case]:
    """Whole steps, then each layer alone; large batches first."""
    batches = (4,) if small else BATCHES
    for batch in batches:
        measure = functools.partial(measure_step, batch, small)
        yield Case(f"step of conv {batch}", measure)
        for layer in LAYERS:
            measure = functools.partial(measure_layer, layer, batch, small)
            yield Case(f"{layer.name} {batch}", measure)
