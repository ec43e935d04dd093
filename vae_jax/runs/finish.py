"""The end of a run: it is measured, its pictures are drawn, its results written."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import jax
from absl import logging

from vae_jax import build
from vae_jax.data.dataset import to_unit_floats
from vae_jax.evaluation import measures
from vae_jax.evaluation.chunks import even_rows
from vae_jax.evaluation.measures import Effort
from vae_jax.files import writing
from vae_jax.quantities import Group, Quantity, one
from vae_jax.report.progress import Parts, ProgressBar
from vae_jax.runs import identity, processes
from vae_jax.runs.best import Saved, stopped_members
from vae_jax.runs.course import Course
from vae_jax.runs.pictures import latent_space
from vae_jax.runs.program import Program
from vae_jax.storage.checkpoints import Checkpoints
from vae_jax.storage.manifest import Json
from vae_jax.storage.records import write_json
from vae_jax.trained import Trained
from vae_jax.training.mesh import fetch, member
from vae_jax.training.state import Variables
from vae_jax.types import Params

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 2  # members that are evaluated at a time
FIGURES = "figures"  # what is done after all measures
_DRAWING = threading.Lock()  # Matplotlib is not thread-safe

RUN = Group("The run", drawn=False)
OF_RUN = (
    Quantity(
        "Step",
        "How many training steps had been made when the parameters were taken.",
        one("step"),
        RUN,
    ),
    Quantity(
        "Trained steps",
        "All training steps, where the best parameters were kept.",
        one("trained_steps"),
        RUN,
    ),
    Quantity(
        "Images measured",
        "How many of the split an evaluation afterwards has measured.",
        one("num_images"),
        RUN,
    ),
    Quantity("Parameters", "Numbers in the model.", one("num_parameters"), RUN),
    Quantity(
        "Training time",
        "Compilation included; in a grid, an equal share of the program's.",
        one("train_seconds"),
        RUN,
        unit="s",
    ),
    Quantity(
        "Images per second",
        "Steps times batch size over that time, so of a short run mostly compilation.",
        one("images_per_second"),
        RUN,
    ),
)


def finish_members(program: Program, saved: Saved, course: Course) -> list[Json]:
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
    if not program.is_single:
        for m in good:
            _keep(program, m, member(saved, m), share)
    steps, made = fetch(saved.step).tolist(), fetch(saved.state.step).tolist()
    train = program.config.train
    for m in stopped_members(saved.best, train.patience):
        # Evaluations since the best one, after each of which its training went on.
        last = (steps[m] // train.eval_every + train.patience) * train.eval_every
        made[m] = min(last, made[m])
    own = {m: Ended(member(saved.variables, m), steps[m], made[m]) for m in good}
    silent = not processes.is_first()
    bar = ProgressBar("evaluate", len(good), unit="member", silent=silent)
    shares = dict.fromkeys(good, 0.0)
    asked = program.config.eval
    names = [*measures.selected(asked.measures), *([FIGURES] if asked.figures else [])]

    def finish_one(m: int) -> Json:
        folder = program.folders[m]

        def show(share: float, part: str) -> None:
            shares[m] = share
            name = part if len(good) == 1 else f"{folder.name}: {part}"
            bar.update(sum(shares.values()), note=name if part else "")

        if (folder / "results.json").is_file():
            results = identity.read_results(folder)
        else:
            results = _finish(program, m, own[m], share.seconds, Parts(names, show))
        show(1.0, "")
        return results

    with processes.together(), bar:
        results = dict(zip(good, _side_by_side(finish_one, good), strict=True))
    failed = {m: {"failed_at_step": step} for m, step in course.failed.items()}
    return [(results | failed)[m] for m in range(len(program.folders))]


class Ended(NamedTuple):
    """What the training of one member has come to."""

    variables: Params | Variables  # to evaluate and to use, on one device
    step: int  # the number of updates after which they were so
    trained_steps: int  # and that of all updates


def _finish(
    program: Program, m: int, ended: Ended, seconds: float, parts: Parts
) -> Json:
    """Measures a member, draws its figures and writes its results.json last.

    With several processes each one measures, and only the first writes.
    """
    config, workdir = program.configs[m], program.folders[m]
    prepared, key = program.prepared, build.run_key(config)
    trained = Trained.of(prepared.model, ended.variables)
    keeps_best = prepared.saved.best is not None
    results = {
        "step": ended.step,
        **({"trained_steps": ended.trained_steps} if keeps_best else {}),
        **measures.measure(
            config.eval.measures,
            trained,
            prepared.data,
            key,
            Effort(num_samples=config.eval.num_samples, progress=parts.progress),
            on_undefined=log_undefined,
            on_start=parts.begin,
        ),
        "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(trained.params)),
        "train_seconds": seconds,
        "images_per_second": ended.trained_steps * config.data.batch_size / seconds,
    }
    if not processes.is_first():
        return results
    if config.eval.figures:
        parts.begin(FIGURES)
        from vae_jax.report import figures  # matplotlib delays the start of training

        test = program.dataset.test
        # Spread over the split, which may be in order of a class or of a factor.
        some = even_rows(len(test), figures.SHOWN)
        with _DRAWING, writing(workdir / "figures"):
            space = latent_space(
                trained, prepared.data, key, to_unit_floats(test.images[some])
            )
            figures.draw_all(space, test.labels, workdir)
    write_json(workdir / "results.json", results)
    return results


def log_undefined(name: str, reason: str) -> None:
    """Says in the log why the numbers of a measure are null."""
    logging.info("the numbers of the measure %s are not defined: it %s", name, reason)


def quantities() -> list[Quantity]:
    """What all numbers of a results.json mean."""
    return [*measures.quantities(), *OF_RUN]


def _keep(program: Program, m: int, saved: Saved, share: Course) -> None:
    """Saves a member of a grid in its own folder, as a single run is saved."""
    folder, step = program.folders[m] / "checkpoints", int(saved.state.step)
    with Checkpoints(folder, max_to_keep=1, run=program.digests[m]) as checkpoints:
        if step not in checkpoints.all_steps():
            checkpoints.save(step, saved, share.meta)


def _side_by_side(
    function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[Result]:
    """Results in order; figures of one member are drawn while others are evaluated.

    The first call goes alone: it compiles what the others share.
    """
    yield from map(function, items[:1])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(function, items[1:])
