"""A function of one array as bytes that run without this library and without Flax.

The number of rows stays free; all other sizes are fixed, and what the function holds
(parameters) becomes constants of the file.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.errors import ConfigError, choose
from vae_jax.export.checks import check_packages
from vae_jax.types import Array

Function = Callable[[Array], Mapping[str, Array]]  # [B, ...] -> {name: [B, ...]}

PLATFORMS = ("cpu", "cuda", "tpu")
OPSET = 18  # of ONNX: old enough for most runtimes, and has every operation we use
TOLERANCE = 1e-4  # relative above 1, absolute below


class Format(NamedTuple):
    """How a kind of file is written and read; both need the packages of `extra`."""

    extra: str
    packages: Sequence[str]
    write: Callable[[Function, str, Sequence[int]], bytes]
    read: Callable[[bytes], Callable[[np.ndarray], Mapping[str, np.ndarray]]]


def to_bytes(
    function: Function, file_format: str, name: str, shape: Sequence[int]
) -> bytes:
    """The function as the content of a file, read back and compared with the function.

    Args:
        function: takes x and gives named arrays, all with the batch axis in front.
        file_format: a name in `FORMATS`.
        name: name of the input x in the file.
        shape: shape of x without the batch axis.

    Returns:
        The bytes. "stablehlo": `jax.export.deserialize(bytearray(content)).call(x)`
        gives the named arrays on CPU, CUDA or TPU, with this version of jax or a newer
        one. "onnx": an ONNX model whose input and outputs have those names.

    Raises:
        ConfigError: the format is unknown, its packages are not installed, or what was
            written differs from the function.
    """
    chosen = check_format(file_format)
    content = chosen.write(function, name, shape)
    call = chosen.read(content)
    # Compiled, as what was written is: operations one by one round 16 bits otherwise.
    compiled = jax.jit(lambda x: dict(function(x)))
    for rows in (1, 3):
        x = np.random.default_rng(rows).random((rows, *shape), np.float32)
        wanted, found = jax.device_get(compiled(x)), call(x)
        for output, value in wanted.items():
            error = np.abs(found[output] - value) / np.maximum(1, np.abs(value))
            if not error.max() <= TOLERANCE:
                raise ConfigError(
                    f"--format={file_format} changes the output {output} by"
                    f" {error.max():.1e}: choose another format"
                )
    return content


def check_format(file_format: str) -> Format:
    """The format of that name.

    Raises:
        ConfigError: there is none, or one of its packages is not installed.
    """
    chosen = choose(FORMATS, "--format", file_format)
    check_packages(file_format, chosen.extra, chosen.packages)
    return chosen


def _to_stablehlo(function: Function, name: str, shape: Sequence[int]) -> bytes:
    from jax import export  # `import jax` does not load it

    sizes = export.symbolic_shape(", ".join(["batch", *map(str, shape)]))
    x = jax.ShapeDtypeStruct(sizes, np.float32)
    exporting = export.export(jax.jit(lambda x: dict(function(x))), platforms=PLATFORMS)
    return bytes(exporting(x).serialize())


def _from_stablehlo(
    content: bytes,
) -> Callable[[np.ndarray], Mapping[str, np.ndarray]]:
    from jax import export

    call = export.deserialize(bytearray(content)).call
    return lambda x: jax.device_get(call(x))


def _to_onnx(function: Function, name: str, shape: Sequence[int]) -> bytes:
    import jax2onnx

    row = jax.ShapeDtypeStruct((1, *shape), np.float32)
    outputs = list(jax.eval_shape(function, row))
    # Its code for convolutions promotes ranks, which a caller may have forbidden.
    with _quiet("onnx_ir"), jax.numpy_rank_promotion("allow"):
        proto: Any = jax2onnx.to_onnx(
            lambda x: tuple(function(x)[output] for output in outputs),
            [("batch", *shape)],
            opset=OPSET,
            input_names=[name],
            output_names=outputs,
        )
    return proto.SerializeToString()


def _from_onnx(content: bytes) -> Callable[[np.ndarray], Mapping[str, np.ndarray]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (x_input,) = session.get_inputs()

    def call(x: np.ndarray) -> Mapping[str, np.ndarray]:
        return dict(zip(names, session.run(names, {x_input.name: x}), strict=True))

    return call


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silences a logger's warnings about internal shapes."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


FORMATS: Mapping[str, Format] = {
    "stablehlo": Format("export", ["flatbuffers"], _to_stablehlo, _from_stablehlo),
    "onnx": Format("onnx", ["jax2onnx", "onnxruntime"], _to_onnx, _from_onnx),
}
