"""The end of a run: the test split is evaluated, figures drawn, results written."""

import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.report.progress import ProgressBar
from vae_jax.runs import identity, processes
from vae_jax.runs.best import Saved
from vae_jax.runs.course import Course
from vae_jax.runs.evaluator import Evaluator
from vae_jax.runs.program import Program
from vae_jax.files import writing
from vae_jax.storage.checkpoints import Checkpoints
from vae_jax.storage.records import write_json
from vae_jax.training.mesh import member
from vae_jax.types import stream

AT_ONCE = 2  # members that are evaluated at a time
_DRAWING = threading.Lock()  # Matplotlib is not thread-safe


def finish_members(
    program: Program, saved: Saved, course: Course
) -> list[dict[str, Any]]:
    """Makes each member of a trained program an ordinary, finished run.

    Args:
        program: the members.
        saved: what the last checkpoint holds of all of them, [M, ...].
        course: how training went.

    Returns:
        For each member the content of its results.json, or `failed_at_step` alone if
        its loss was not finite.
    """
    share = Course(seconds=course.seconds / len(program.folders))
    good = [m for m in range(len(program.folders)) if m not in course.failed]
    own = {m: member(saved, m) for m in good}
    for m in good:
        _keep(program, m, own[m], share)
    total, silent = len(program.dataset.test), not processes.is_first()
    bar = ProgressBar("evaluate", total * len(good), unit="images", silent=silent)
    evaluated = dict.fromkeys(good, 0)

    def finish_one(m: int) -> dict[str, Any]:
        def progress(done: int, _: int) -> None:
            evaluated[m] = done
            bar.update(sum(evaluated.values()), {})

        folder, config = program.folders[m], program.configs[m]
        if (folder / "results.json").is_file():
            progress(total, total)
            return identity.read_results(folder)
        evaluator = program.prepared.evaluator
        return finish(config, evaluator, own[m], share.seconds, folder, progress)

    with processes.together(), bar:
        results = dict(zip(good, _side_by_side(finish_one, good), strict=True))
    failed = {m: {"failed_at_step": step} for m, step in course.failed.items()}
    return [(results | failed)[m] for m in range(len(program.folders))]


def finish(
    config: ConfigDict,
    evaluator: Evaluator,
    saved: Saved,
    seconds: float,
    workdir: pathlib.Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluates the test split, draws the figures and writes results.json last.

    Of several processes all evaluate, each on its own, and the first writes.

    Args:
        config: of the run.
        evaluator: of its model and data, possibly shared with other runs.
        saved: what the last checkpoint holds, on one device.
        seconds: that training took.
        workdir: where the results go.
        progress: called with images evaluated and their total.

    Returns:
        The content of results.json.
    """
    params, num_samples = saved.params, config.eval.num_samples
    key = build.run_key(config)
    statistics = evaluator.statistics(
        params, "test", num_samples, stream(key, "evaluation"), progress
    )
    regular = {}
    if config.eval.regularity:
        regular = evaluator.regularity(params, stream(key, "regularity"))
    num_steps = int(saved.state.step)
    results = {
        "step": int(saved.step),
        **({} if saved.best is None else {"trained_steps": num_steps}),
        **evaluator.summary(statistics, num_samples),
        **regular,
        "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "train_seconds": seconds,
        "images_per_second": num_steps * config.data.batch_size / seconds,
    }
    if not processes.is_first():
        return results
    if config.eval.figures:
        from vae_jax.report import figures  # matplotlib delays the start of training

        with _DRAWING, writing(workdir / "figures"):
            figures.draw_all(
                lambda x: np.asarray(evaluator.encode(params, x).mean),
                lambda z: np.asarray(evaluator.decode(params, z).mean),
                np.asarray(evaluator.prior(params, stream(key, "figures"), 64)),
                evaluator.shown("test", 64),
                statistics,
                evaluator.dataset.test.labels,
                workdir,
            )
    write_json(workdir / "results.json", results)
    return results


def _keep(program: Program, m: int, saved: Saved, share: Course) -> None:
    """Saves a member in its own folder, where a single run has been saved already."""
    folder, step = program.folders[m] / "checkpoints", int(saved.state.step)
    with Checkpoints(folder, max_to_keep=1, run=program.digests[m]) as checkpoints:
        if step not in checkpoints.all_steps():
            checkpoints.save(step, saved, share.meta)


def _side_by_side(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator:
    """Results in order; figures of one member are drawn while others are evaluated.

    The first call goes alone: it compiles what the others share.
    """
    yield from map(function, items[:1])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(function, items[1:])
