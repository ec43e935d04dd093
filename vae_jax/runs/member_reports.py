"""Reports while a program trains: metrics of its members, and a progress bar."""

import contextlib
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from vae_jax.report.progress import ProgressBar
from vae_jax.runs import processes
from vae_jax.runs.tracking import Tracking
from vae_jax.storage.records import MetricWriter

WATCHED = ("elbo", "rate", "distortion")
ON_THE_BAR = WATCHED[:2]  # the third is minus their sum


class MemberReports:
    """Writes the metrics of M members, each into its folder; a context manager.

    With several processes only the first one writes and shows the bar.
    """

    def __init__(
        self,
        folders: Sequence[pathlib.Path],
        tracking: Tracking,
        title: str,
        start: int,
        num_steps: int,
    ) -> None:
        """Opens the files.

        Args:
            folders: folders of the members.
            tracking: the trackers of the members, started.
            title: title of the progress bar.
            start: number of updates already made.
            num_steps: number of updates at the end.
        """
        writes = processes.is_first()
        self._tracking = tracking
        with contextlib.ExitStack() as stack:
            self._writers = [
                stack.enter_context(MetricWriter(folder, start_step=start))
                for folder in (folders if writes else ())
            ]
            self._bar = stack.enter_context(
                ProgressBar(title, num_steps, start, silent=not writes)
            )
            self._stack = stack.pop_all()
        self._bar.update(start, note="compiling")
        self._names = [folder.name for folder in folders]

    def __enter__(self) -> "MemberReports":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)

    def training(
        self,
        step: int,
        metrics: Mapping[str, np.ndarray],
        ended: Collection[int],
        is_due: bool,
    ) -> None:
        """Shows metrics of each member, and writes them if a report is due.

        Args:
            step: number of updates made.
            metrics: name -> means over the steps since the last report, [M].
            ended: members to leave out: they have failed or stopped.
            is_due: whether a report is due.
        """
        num_members = len(metrics["loss"])
        good = [m for m in range(num_members) if m not in ended]
        for m in good if self._writers and is_due else ():
            values = {f"train/{k}": float(v[m]) for k, v in metrics.items()}
            self._write(step, m, values)
        names = [name for name in ON_THE_BAR if name in metrics]
        shown = {self._names[m]: {k: float(metrics[k][m]) for k in names} for m in good}
        if num_members == 1:
            self._bar.update(step, *shown.values())
        else:
            self._bar.update(step, note=f"{num_members} members", members=shown)

    def evaluation(self, step: int, m: int, values: Mapping[str, float]) -> None:
        """Writes the numbers of one member, by name, on the validation split."""
        if self._writers:
            self._write(step, m, {f"eval/{k}": v for k, v in values.items()})

    def flush(self) -> None:
        """Returns once everything reported is on disk."""
        for writer in self._writers:
            writer.flush()
        self._tracking.flush()

    def _write(self, step: int, m: int, values: Mapping[str, float]) -> None:
        self._writers[m].scalars(step, values)
        self._tracking.scalars(step, m, values)
