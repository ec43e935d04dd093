"""What the card can do, and where the time of a step goes."""

import collections
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.common import make_chunk, seconds
from benchmarks.gpu.precision import at
from benchmarks.gpu.sitting import Case
from benchmarks.gpu.training import PRECISIONS, peak
from benchmarks.train import real
from benchmarks.workload import bare, made

LOOP = 2_000  # iterations
VARIANTS = {
    "as it is": "",
    "loops inside CUDA graphs": "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL",
    "without CUDA graphs": "--xla_gpu_enable_command_buffer=",
}


def best(function: Callable[..., Any], *args: Any) -> float:
    """Least seconds of five calls, after one that compiles."""
    seconds(function, *args)
    return min(seconds(function, *args) for _ in range(5))


def measure_peaks(small: bool, left: float) -> dict[str, Any]:
    """Largest rate of products, TFLOP/s, and of a copy, GB/s read and written."""
    del left
    size = 128 if small else 8192
    row: dict[str, Any] = {name: 1e-12 * peak(name, size) for name in PRECISIONS}
    array = jnp.ones(2**16 if small else 2**28)  # 1 GiB of float32
    copied = best(jax.jit(lambda x: x + 1), array)
    return row | {"copy_gb_per_second": 2e-9 * array.nbytes / copied}


def measure_launches(small: bool, left: float) -> dict[str, Any]:
    """Microseconds of an iteration of a loop, and of one more kernel in it."""
    del left
    n = 10 if small else LOOP
    matrix = jnp.eye(64) * 0.5

    def chain(x: Any, kernels: int) -> Any:
        for _ in range(kernels):
            x = matrix @ x
        return x

    def body(kernels: int) -> Callable[..., Any]:
        return lambda i, x: chain(x, kernels)

    @functools.partial(jax.jit, static_argnums=1)
    def traced_length(length: Any, kernels: int) -> Any:
        return lax.fori_loop(0, length, body(kernels), matrix)

    @functools.partial(jax.jit, static_argnums=0)
    def known_length(kernels: int) -> Any:
        return lax.fori_loop(0, n, body(kernels), matrix)

    row = {}
    for name, run in (
        ("traced_length", functools.partial(traced_length, n)),
        ("known_length", known_length),
    ):
        one, many = (1e6 * best(run, kernels) / n for kernels in (1, 17))
        row[name] = {"iteration_us": one, "kernel_us": (many - one) / 16}
    return row


def busy_times(folder: str) -> dict[str, tuple[int, float]]:
    """Kernel -> how often it ran and its seconds, from a trace of JAX's profiler."""
    path = next(pathlib.Path(folder).rglob("*.xplane.pb"))
    found: dict[str, list[float]] = collections.defaultdict(list)
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        if "GPU" not in plane.name:
            continue
        for line in plane.lines:
            if line.name.startswith("Stream"):
                for event in line.events:
                    found[event.name].append(1e-9 * event.duration_ns)
    return {name: (len(times), sum(times)) for name, times in found.items()}


def measure_profile(
    model: str, batch: int, precision: str, small: bool, left: float
) -> dict[str, Any]:
    """Kernels of a step, and the share of its time in which none runs."""
    del left
    steps = 2 if small else 100
    with (
        tempfile.TemporaryDirectory() as folder,
        made(model, 1_000) as (config, images),
    ):
        config.data.batch_size = batch

        def trace() -> float:
            run = make_chunk(config, images, steps, mesh={"data": 1})
            usual = min(run() for _ in range(3))
            with jax.profiler.trace(folder):
                run()
            return usual

        step = at(precision, trace)()
        kernels = busy_times(folder)
    busy = sum(time for _, time in kernels.values()) / steps
    slowest = sorted(kernels.items(), key=lambda item: -item[1][1])[:12]
    return {
        "step_us": 1e6 * step,
        "kernels_of_a_step": sum(count for count, _ in kernels.values()) / steps,
        "busy_us": 1e6 * busy,
        "busy_share": busy / step,
        "slowest_us": {
            name[:90]: [count / steps, 1e6 * time / steps]
            for name, (count, time) in slowest
        },
    }


def measure_loops(small: bool, left: float) -> dict[str, Any]:
    """Milliseconds of a step in the real loop, its compiled chunk, and a bare scan."""
    del left
    steps = 20 if small else 20_000
    with made("mlp", steps) as (config, images):
        chunk = make_chunk(config, images, min(steps, 2_000), mesh={"data": 1})
        return {
            "chunk_ms": 1e3 * min(chunk() for _ in range(3)),
            "bare_scan_ms": 1e3 / bare(config)(),
            "real_ms": 1e3 / real(config)(),
            "real_log_every": config.train.log_every,
        }


def measure_variant(flags: str, small: bool, left: float) -> dict[str, Any]:
    """Milliseconds of a step of the `mlp` in a process of its own, with XLA's flags."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    }
    command = [sys.executable, "-m", "benchmarks.gpu.limits", "1" if small else ""]
    done = subprocess.run(
        command, env=environment, timeout=max(30, left), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:])
    return {"flags": flags, "ms": float(done.stdout.split()[-1])}


def cases(small: bool) -> Iterator[Case]:
    """Limits first, then what a step makes of them."""
    yield Case("peaks", functools.partial(measure_peaks, small))
    yield Case("launches", functools.partial(measure_launches, small))
    for model, batch in (("mlp", 128), ("conv", 128), ("mlp", 8192), ("conv", 8192)):
        batch = 32 if small else batch
        measure = functools.partial(measure_profile, model, batch, "tf32", small)
        yield Case(f"profile {model} {batch}", measure)
    yield Case("loops", functools.partial(measure_loops, small))
    for name, flags in VARIANTS.items():
        if jax.default_backend() == "gpu" or not flags:
            yield Case(name, functools.partial(measure_variant, flags, small))


def main(small: bool) -> None:
    """Prints the milliseconds of a step of the `mlp`."""
    with made("mlp", 1_000) as (config, images):
        run = make_chunk(config, images, 3 if small else 2_000, mesh={"data": 1})
        print(1e3 * min(run() for _ in range(3)))


if __name__ == "__main__":
    main(bool(sys.argv[1]))
