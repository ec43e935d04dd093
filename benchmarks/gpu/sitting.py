"""A limited time with a card: what is measured in which order, and what is kept."""

import json
import pathlib
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax

from vae_jax.files import replace_file

UNFINISHED = "unfinished"


class Case(NamedTuple):
    """One thing to measure."""

    name: str
    measure: Callable[[float], dict[str, Any]]
    """(seconds left to its part) -> a row; with `UNFINISHED` it is continued later."""
    least: float = 0.0
    """Seconds without which it is not begun."""


class Part(NamedTuple):
    """Cases that share a file of results."""

    name: str
    share: float  # of the minutes
    cases: Callable[[], Iterator[Case]]


class Sitting:
    """Runs parts until the time is up.

    A part that needs less than its share leaves the rest to those after it. Each row is
    on disk before the next case starts; a case that fails is noted and tried again in
    the next sitting, and so is one that there was no time for.

    Args:
        out: folder of the results, PART.json each; made if missing.
        minutes: length of the sitting.
        match: only cases with this in their name.
    """

    def __init__(self, out: pathlib.Path, minutes: float, match: str = "") -> None:
        self._out, self._match = out, match
        self._end = time.monotonic() + 60 * minutes
        out.mkdir(parents=True, exist_ok=True)

    def run(self, parts: Iterable[Part]) -> None:
        """Measures what earlier sittings have not."""
        parts = list(parts)
        for i, part in enumerate(parts):
            whole = sum(other.share for other in parts[i:])
            left = self._end - time.monotonic()
            end = time.monotonic() + left * part.share / whole
            self._run_part(part, end)

    def _run_part(self, part: Part, end: float) -> None:
        path = self._out / f"{part.name}.json"
        rows = json.loads(path.read_text())["rows"] if path.exists() else {}
        device = jax.devices()[0].device_kind
        for case in part.cases():
            done = rows.get(case.name)
            if done and "error" not in done and not done.get(UNFINISHED):
                continue
            if self._match not in case.name:
                continue
            left = end - time.monotonic()
            if left <= case.least:
                print(f"{part.name}: no time left for {case.name}", flush=True)
                continue
            start = time.monotonic()
            try:
                row = case.measure(left)
            except Exception as error:
                traceback.print_exc()
                row = {"error": f"{type(error).__name__}: {error}"[:2000]}
            took = time.monotonic() - start
            rows[case.name] = {"device": device, "took_seconds": round(took, 1), **row}
            print(part.name, case.name, json.dumps(rows[case.name])[:600], flush=True)
            table = {"jax": jax.__version__, "rows": rows}
            replace_file(path, (json.dumps(table, indent=1) + "\n").encode())
