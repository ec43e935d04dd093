"""Several processes of one run: they compare flags at the start, and fail together.

With one process nothing here has an effect.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping

import flax
import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from vae_jax.errors import ConfigError, VAEJaxError
from vae_jax.flat import flatten


def is_first() -> bool:
    """Whether this is process 0, the only one that writes files and logs."""
    return jax.process_index() == 0


@contextlib.contextmanager
def together() -> Iterator[None]:
    """An error within it, in any process, is raised in all; also a barrier.

    Raises:
        VAEJaxError: the error of another process.
    """
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    if jax.process_count() > 1:
        own = str(failure) or type(failure).__name__ if failure else ""
        for process, text in enumerate(_gather(own)):
            if text and failure is None:
                failure = VAEJaxError(f"process {process} failed: {text}")
    if failure is not None:
        raise failure


def agree_on_flags(config: ConfigDict, flags: Mapping[str, object]) -> None:
    """Refuses processes that were not started for the same run.

    Args:
        config: config of the run; only data.dir may differ between processes.
        flags: whatever else must be equal; what JSON can hold.

    Raises:
        ConfigError: in every process, naming a value that differs.
    """
    fields = flatten(config.to_dict())
    fields.pop("data.dir", None)
    versions = {
        f"version of {package.__name__}": package.__version__ for package in (jax, flax)
    }
    _agree(
        {**fields, **flags, **versions},
        "start all processes with the same command, but for --process_id",
    )


def agree_on_file(path: pathlib.Path) -> bool:
    """Whether a file exists.

    Raises:
        ConfigError: in every process, if some see it and some don't.
    """
    found = path.is_file()
    _agree({f"that {path} exists": found}, "all processes must share the workdir")
    return found


def _agree(facts: Mapping[str, object], advice: str) -> None:
    if jax.process_count() == 1:
        return
    texts = [json.loads(text) for text in _gather(json.dumps(facts))]
    for process, other in enumerate(texts):
        for name in {**texts[0], **other}:
            here, there = texts[0].get(name), other.get(name)
            if here != there:
                raise ConfigError(
                    f"{name} is {here!r} in process 0 and {there!r} in process"
                    f" {process}: {advice}"
                )


def _gather(text: str) -> list[str]:
    """The texts of all processes, in their order."""
    data = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.asarray(data.size))
    padded = np.zeros(max(sizes.max(), 1), np.uint8)
    padded[: data.size] = data
    rows = multihost_utils.process_allgather(padded)
    return [bytes(row[:size]).decode() for row, size in zip(rows, sizes, strict=True)]
