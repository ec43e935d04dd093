"""Checks that a config fits into memory, made before anything large is.

`needs` gives a lower bound, which is compared here with the memory of the machine. A
run that passes may still run out of memory: `out_of_memory_line` is for that.
"""

import math
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import jax
from ml_collections import ConfigDict

from vae_jax.data.dataset import Dataset
from vae_jax.data.spec import DataSpec
from vae_jax.errors import ConfigError
from vae_jax.runs.needs import Arrays, Need, needs, sizes

FLOAT = 4  # bytes
COUNTED = 2**31 - 2**10  # what is counted in 32 bits, with room for the last chunk
CGROUPS = pathlib.Path("/sys/fs/cgroup")


def check_numbers(config: ConfigDict) -> None:
    """Refuses, before the images are loaded, numbers that are too large to try.

    Args:
        config: a config that `build.check` has passed.

    Raises:
        ConfigError: names the field, its value and the most it may be; or, as
            `check_memory`, a batch of images of data.image_size does not fit.
    """
    check_count("train.num_steps", config.train.num_steps)
    check_count("eval.num_samples", config.eval.num_samples)
    for text, number in sizes(config):
        check_count(text.partition("=")[0], number)
    data, size = config.data, config.data.image_size
    height, width = size if isinstance(size, tuple | list) else (size, size)
    batch = data.batch_size * height * width * (1 if data.grayscale else 3)
    fields = [f"data.batch_size={data.batch_size}", f"data.image_size={size}"]
    found = [Need("a batch of images", batch, fields)]
    _refuse(found, "training", available_memory())


def check_memory(
    config: ConfigDict, dataset: Dataset, arrays: Arrays, members: int = 1
) -> None:
    """Refuses a training that can't fit into the memory there is.

    Args:
        config: a config that `check_numbers` has passed.
        dataset: its images.
        arrays: shapes of the arrays of one member, from `needs.trace`.
        members: runs that are computed side by side.

    Raises:
        ConfigError: names what needs most, how much, how much there is, and the fields
            to make smaller.
    """
    found = list(needs(config, dataset, arrays, members))
    _refuse(found, "training", available_memory())


def check_samples(code_size: int, spec: DataSpec, name: str, num: int) -> None:
    """Refuses more draws than the memory of the host holds.

    Args:
        code_size: numbers in a code, of all layers.
        spec: shapes and sizes of the data.
        name: the flag that says how many.
        num: how many draws, each with its code, its mean and its pixels.

    Raises:
        ConfigError: as `check_memory`.
    """
    numbers = code_size + 2 * math.prod(spec.image_shape)
    found = [Need("the images", num * numbers * FLOAT, [name])]
    _refuse(found, "decoding", host_memory())


def check_annealing(spec: DataSpec, num_temperatures: int, num_chains: int) -> None:
    """Refuses an annealing whose temperatures or chains are too many for the memory.

    Args:
        spec: shapes and sizes of the data.
        num_temperatures: T.
        num_chains: per image.

    Raises:
        ConfigError: as `check_memory`.
    """
    steps = f"--num_temperatures={num_temperatures}"
    chains = f"--num_chains={num_chains}"
    each = FLOAT * math.prod(spec.image_shape)
    found = [
        Need("the temperatures", num_temperatures * 16, [steps]),
        Need("the chains", num_chains * each, [chains]),
    ]
    _refuse(found, "annealing", available_memory())


def check_count(name: str, value: float) -> None:
    """Refuses a number of samples or steps too large for 32 bits.

    Args:
        name: name of the field or flag.
        value: how many.

    Raises:
        ConfigError: it is too large.
    """
    if value > COUNTED:
        raise ConfigError(
            f"{name}={value}: must be at most {COUNTED}, as 32 bits count it"
        )


def available_memory() -> int:
    """Bytes of all devices together, or of the hosts where they use its memory."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return statistics["bytes_limit"] * jax.device_count()
    return host_memory() * jax.process_count()


def host_memory() -> int:
    """Bytes of this machine, or what a container or a job may use of them."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _limit_files():
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(limits)


def _limit_files() -> Iterator[pathlib.Path]:
    """Where Linux keeps the limits of the control groups that this process is in."""
    yield CGROUPS / "memory/memory.limit_in_bytes"
    yield CGROUPS / "memory.max"
    try:
        text = pathlib.Path("/proc/self/cgroup").read_text()
    except OSError:
        return
    own = re.search(r"^0::/(.+)$", text, re.MULTILINE)
    parts = pathlib.PurePath(own[1]).parts if own else ()
    for depth in range(len(parts)):
        yield CGROUPS.joinpath(*parts[: depth + 1], "memory.max")


def out_of_memory_line(error: BaseException) -> str | None:
    """One line for an error that says that memory ran out; None for any other error.

    Args:
        error: exception from JAX, or Python's MemoryError.

    Returns:
        A line that says what happened and what to make smaller.
    """
    text = str(error)
    if not isinstance(error, MemoryError) and not (
        isinstance(error, jax.errors.JaxRuntimeError)
        and re.search("RESOURCE_EXHAUSTED|out of memory", text, re.IGNORECASE)
    ):
        return None
    wanted = re.search(r"allocat\w* (\d+) bytes", text)
    asked = f" when {_text(int(wanted[1]))} more were asked for" if wanted else ""
    return (
        f"out of memory{asked}: make data.batch_size, objective.num_samples or the"
        " model's layers smaller, or --members_per_program of a grid"
    )


def _refuse(found: Sequence[Need], doing: str, available: int) -> None:
    """Raises if all needs together are more than there is."""
    total = sum(need.bytes for need in found)
    if total <= available:
        return
    largest = max(found, key=lambda need: need.bytes)
    fields = ", ".join(largest.fields) or "the model's layers for these images"
    raise ConfigError(
        f"{fields}: {doing} needs about {_text(total)} of memory,"
        f" {_text(largest.bytes)} of it for {largest.what}, and there are"
        f" {_text(available)}: choose a smaller number"
    )


def _text(count: int) -> str:
    """Bytes as a person reads them."""
    digits = len(str(count))
    if digits > 18:  # too many for a float, perhaps
        return f"10^{digits - 1} bytes"
    units = ["bytes", "kB", "MB", "GB", "TB", "PB"]
    step = (digits - 1) // 3
    return f"{count / 1000**step:.3g} {units[step]}"
