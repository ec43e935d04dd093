"""Three kinds of arithmetic, as JAX and PyTorch name them."""

from collections.abc import Callable
from typing import TypeVar

import jax
from ml_collections import ConfigDict

Result = TypeVar("Result")
JAX_PRECISION = {
    "tf32": "tensorfloat32",  # products of float32 with 10 bits of fraction
    "bfloat16": "tensorfloat32",  # layers in bfloat16 by config.model.dtype
    "float32": "highest",
}


def with_dtype(config: ConfigDict, precision: str) -> ConfigDict:
    """A copy of a config whose layers have the number type of a precision."""
    config = config.copy_and_resolve_references()
    config.model.dtype = "bfloat16" if precision == "bfloat16" else "float32"
    return config


def at(precision: str, function: Callable[[], Result]) -> Callable[[], Result]:
    """A function whose products have a precision, also when it is compiled."""

    def run() -> Result:
        with jax.default_matmul_precision(JAX_PRECISION[precision]):
            return function()

    return run
