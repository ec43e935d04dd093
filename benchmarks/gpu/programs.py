"""Whole trainings by the programs, stopped when time is up and resumed later.

A job's folder travels between sittings as OUT/NAME.tar, the output of its commands is
OUT/NAME.log.
"""

import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.gpu.sitting import UNFINISHED, Case

PARTING_SECONDS = 15.0  # to save a checkpoint and pack the folder
SHORT = (
    "--config.train.num_steps=4",
    "--config.train.eval_every=0",
    "--config.hparams.warmup_steps=0",
)
KEPT = ("--config.train.max_to_keep=1", "--config.eval.figures=False")


class Job(NamedTuple):
    """Commands in turn; the first trains."""

    name: str
    commands: Sequence[Sequence[str]]
    reserve: float = 0.0
    """Seconds kept for the others, which then measure an unfinished training, too."""
    least: float = 0.0
    """Seconds without which it is not begun: it would be stopped while it compiles."""


def experiment(program: str, *flags: str) -> tuple[str, ...]:
    """A command of `experiments`; the folder of the run is WORKDIR."""
    return (sys.executable, "-m", f"experiments.{program}", "--workdir=WORKDIR", *flags)


def trainings(binarized: str | None, small: bool) -> list[Job]:
    """Models that take minutes on one card."""
    short = SHORT if small else ()
    jobs = []
    if binarized:
        samples = 2 if small else 100
        train = experiment(
            "train",
            "--config=configs/top_down/gpu.py",
            f"--config.data.name=npz:{binarized}",
            *KEPT,
            f"--config.eval.num_samples={samples}",
            *short,
        )
        measure = experiment("evaluate", f"--num_samples={samples}")
        sample = experiment("sample", "--num=64", "--out=OUT/top_down.png")
        reserve, least = (0, 0) if small else (60, 270)  # 158 s to the first step
        jobs.append(Job("top_down", (train, measure, sample), reserve, least))
    for name in ("beta_tc", "xysquares"):
        config = f"--config=configs/disentanglement/{name}.py"
        jobs.append(Job(name, (experiment("train", config, *KEPT, *short),)))
    return jobs


def rows(config: str, data: str, small: bool) -> list[Job]:
    """Table 1 of Burda et al. 2016 for one model: VAE, then IWAE with K = 5 and 50."""
    name = pathlib.Path(config).stem
    short = SHORT if small else ()
    jobs = []
    for k in (1, 5, 50):
        objective = (
            "--config.objective.name=iwae",
            f"--config.objective.num_samples={k}",
        )
        train = experiment(
            "train",
            f"--config={config}",
            f"--config.data.name=npz:{data}",
            *KEPT,
            *(objective if k > 1 else ()),
            *short,
        )
        samples = 10 if small else 5_000
        measure = experiment("evaluate", f"--num_samples={samples}")
        jobs.append(Job(f"{name} K={k}", (train, measure)))
    return jobs


def measure_job(job: Job, out: pathlib.Path, left: float) -> dict[str, Any]:
    """Runs a job from where it was; the results, or how far it has come."""
    end = time.monotonic() + left
    slug = job.name.replace(" ", "_").replace("=", "")
    packed, log = out / f"{slug}.tar", out / f"{slug}.log"
    with tempfile.TemporaryDirectory() as name, open(log, "ab") as output:
        if packed.exists():
            with tarfile.open(packed) as archive:
                archive.extractall(name, filter="data")
        workdir = pathlib.Path(name) / "run"
        texts, unfinished = [], False
        for number, command in enumerate(job.commands):
            words = [
                word.replace("WORKDIR", str(workdir)).replace("OUT", str(out))
                for word in command
            ]
            texts.append(" ".join(["python", *command[1:]]))
            kept = PARTING_SECONDS + (0 if number else job.reserve)
            budget = max(1.0, end - time.monotonic() - kept)
            status = run_for(words, budget, output)
            if status is None or status == 128 + signal.SIGTERM:
                unfinished = True
                if not (job.reserve and workdir.exists()):
                    break
            elif status:
                pack(workdir, packed)  # what came before it need not be done again
                raise RuntimeError(f"{texts[-1]}: {log.read_text()[-1000:]}")
        row = {"commands": texts, **progress(workdir), "results": results(workdir)}
        if unfinished:
            pack(workdir, packed)
            return {UNFINISHED: True, **row}
        packed.unlink(missing_ok=True)
        return row


def run_for(words: Sequence[str], budget: float, output: Any) -> int | None:
    """The exit status of a command; None where it had to be killed."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    process = subprocess.Popen(
        words, stdout=output, stderr=subprocess.STDOUT, env=environment
    )
    for number, seconds in ((signal.SIGTERM, budget), (signal.SIGKILL, 25.0)):
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
    process.wait()
    return None


def pack(workdir: pathlib.Path, path: pathlib.Path) -> None:
    """Writes a folder as one file, without what only people look at."""

    def wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = pathlib.PurePath(info.name).parts
        return None if {"tensorboard", "figures"} & set(parts) else info

    if workdir.exists():
        with tarfile.open(path, "w") as archive:
            archive.add(workdir, "run", filter=wanted)


def progress(workdir: pathlib.Path) -> dict[str, float]:
    """Step and seconds of training of the newest checkpoint."""
    found = []
    for path in workdir.rglob("meta/metadata"):
        seconds = json.loads(path.read_text())["content"]["meta"].get("train_seconds")
        if seconds is not None:
            found.append((int(path.parent.parent.name), seconds))
    if not found:
        return {"step": 0}
    step, seconds = max(found)
    return {"step": step, "train_seconds": seconds, "steps_per_second": step / seconds}


def results(workdir: pathlib.Path) -> dict[str, Any]:
    """Every file of results of a run or of a grid's members, by its path."""
    files = [*workdir.rglob("results.json"), *workdir.rglob("evaluation/*.json")]
    return {
        str(path.relative_to(workdir)): json.loads(path.read_text())
        for path in sorted(files)
    }


def cases(jobs: Sequence[Job], out: pathlib.Path) -> Iterator[Case]:
    """One for each job."""
    for job in jobs:
        measure = functools.partial(measure_job, job, out.absolute())
        yield Case(job.name, measure, job.least)
