"""Numbers on disk: metrics line by line, results and configs as one JSON object.

A JSON object carries a CRC-32 of its own content under `checksum`, so that a change by
hand or by a faulty disk is noticed when it is read.
"""

import functools
import json
import math
import os
import pathlib
import time
from collections.abc import Mapping

import numpy as np
from absl import logging

from vae_jax.errors import DataError, StorageError
from vae_jax.files import replace_file, replacing, writing
from vae_jax.paths import PathLike
from vae_jax.storage.manifest import Json, json_crc32

FLUSH_SECONDS = 5.0
CHECKSUM = "checksum"


def write_arrays(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a whole .npz file in the place of an older one, see `files.replacing`.

    Args:
        path: file to write; its folder must exist.
        arrays: what it holds.

    Raises:
        StorageError: it can't be written; the old one is as it was.
    """
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


class MetricWriter:
    """Appends metrics to `metrics.jsonl`; a context manager.

    This file is what the library reads back; `storage.trackers` are for people. A run
    resumed from `start_step` first drops what a killed run wrote after that step, so
    that no step is counted twice. With several processes, one of them writes.

    Args:
        workdir: folder of the run; made if it does not exist.
        start_step: the step that was restored; 0 starts afresh and drops everything.

    Raises:
        DataError: the existing `metrics.jsonl` is damaged.
        StorageError: something can't be written, here or in any method.
    """

    def __init__(self, workdir: PathLike, *, start_step: int = 0) -> None:
        folder = pathlib.Path(workdir)
        path = folder / "metrics.jsonl"
        self._writing = functools.partial(writing, path)
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                _drop_after(path, start_step)
            self._lines = open(path, "a", encoding="utf-8")
        self._flushed = time.monotonic()

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        try:
            self.close()
        except StorageError:
            if error is None:  # else the first error is the one to report
                raise

    def scalars(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes one line `{"step": step, **metrics}`; NaN and infinities become null.

        Args:
            step: the training step.
            metrics: name ("train/elbo") -> number, or array with one element.
        """
        if "step" in metrics:
            raise ValueError("a metric cannot be named 'step'")
        values = {name: float(value) for name, value in metrics.items()}
        with self._writing():
            self._lines.write(_to_json({"step": int(step), **values}) + "\n")
            self._lines.flush()
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Everything written so far is on disk when this returns."""
        with self._writing():
            self._lines.flush()
            os.fsync(self._lines.fileno())
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flushes and closes the files; a second call does nothing."""
        if self._lines.closed:
            return
        with self._writing(), self._lines:
            self.flush()


def read_metrics(path: PathLike) -> list[Json]:
    """Reads `metrics.jsonl`.

    Args:
        path: file of JSON lines to read.

    Returns:
        One dict per line, {"step": int, name: float or None}. A last line that a killed
        run left unfinished is left out.

    Raises:
        DataError: the file is missing, or a line that is not the last is damaged, or
            one holds a value that is not a number.
    """
    lines = _read_bytes(path).rstrip(b"\n").split(b"\n")
    records: list[Json] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if not all(_is_metric(value) for value in record.values()):
                raise ValueError("a value that is not a number")
            records.append({**record, "step": int(record["step"])})
        except Exception:  # a damaged line raises half a dozen types
            if number < len(lines):
                raise DataError(
                    f"{path}, line {number} is not a JSON object of numbers with a"
                    " step; delete it"
                ) from None
    return records


def _is_metric(value: object) -> bool:
    return value is None or type(value) in (int, float)


def write_json(path: PathLike, mapping: Mapping[str, object]) -> None:
    """Writes a mapping as JSON, in its own order, atomically, and with a checksum.

    Args:
        path: file to write; its folder must exist.
        mapping: values that JSON can hold, and NumPy or JAX scalars and arrays,
            which become numbers and lists. NaN and infinities become null.

    Raises:
        StorageError: the file can't be written.
    """
    content = json.loads(_to_json(mapping))
    content[CHECKSUM] = json_crc32(content)
    replace_file(path, (_to_json(content, indent=2) + "\n").encode())


def read_json(path: PathLike) -> Json:
    """Reads what `write_json` wrote, and warns if it has changed since.

    Raises:
        DataError: the file is missing or does not hold a JSON object.
    """
    content = _read_bytes(path)
    try:
        mapping = json.loads(content)
    except RecursionError:
        raise DataError(f"{path} is damaged: it is nested too deeply") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from None
    if not isinstance(mapping, dict):
        raise DataError(f"{path} holds a {type(mapping).__name__}, not a JSON object")
    checksum = mapping.pop(CHECKSUM, None)
    if checksum != json_crc32(mapping):
        logging.warning(
            "%s has changed since it was written: its %s is wrong", path, CHECKSUM
        )
    return mapping


def _read_bytes(path: PathLike) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None


def _drop_after(path: pathlib.Path, step: int) -> None:
    # A run that begins anew needs none, not even whole ones.
    kept = [r for r in read_metrics(path) if r["step"] <= step] if step > 0 else []
    replace_file(path, "".join(_to_json(r) + "\n" for r in kept).encode())


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: object) -> object:
    """Python's own numbers and lists, with None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy and JAX
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
