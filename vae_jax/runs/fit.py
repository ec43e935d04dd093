"""Training with everything around it: checkpoints, metrics, progress, signals."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.batches import InMemoryBatches
from vae_jax.data.examples import num_bytes, num_examples
from vae_jax.errors import ConfigError, NonFiniteLossError
from vae_jax.evaluation.measures.likelihood import split_statistics, summarize_split
from vae_jax.files import allow_open
from vae_jax.runs import processes, signals
from vae_jax.runs.begin import restore_or_begin
from vae_jax.runs.best import Best, Saved, stopped_members, updated
from vae_jax.runs.course import Course
from vae_jax.runs.member_reports import WATCHED, MemberReports
from vae_jax.runs.program import Program
from vae_jax.runs.store import Store
from vae_jax.runs.tracking import Tracking
from vae_jax.trained import Trained
from vae_jax.training.chunks import compile_chunk
from vae_jax.training.loop import Batches, Chunk, train_chunks
from vae_jax.training.mesh import Layout, member, place
from vae_jax.training.spans import Pace, Span, block_length, spans
from vae_jax.training.state import Variables
from vae_jax.types import Examples, Params, stream

OPEN_FILES, OPEN_PER_MEMBER = 256, 4  # metrics.jsonl, and those of the trackers
IN_TRAINING = (*WATCHED, "active_units", "posterior_variance")


def fit(program: Program, title: str, tracking: Tracking) -> tuple[Saved, Course]:
    """Trains from the newest checkpoint to `config.train.num_steps`.

    Args:
        program: what is trained; its folders are claimed.
        title: title of the progress bar.
        tracking: the trackers of the members, which are started here.

    Returns:
        The content of the last checkpoint for all members, [M, ...], and its course.

    Raises:
        NonFiniteLossError: the loss of every member is not finite.
        Interrupted: a signal asked to stop; a checkpoint is saved.
    """
    train, layout = program.config.train, program.layout
    allow_open(OPEN_FILES + OPEN_PER_MEMBER * len(program.folders))
    entered = time.monotonic()
    with contextlib.ExitStack() as stack:
        # Outermost, so that signals are held until the last save is on disk.
        asked = stack.enter_context(signals.deferred())
        store = stack.enter_context(Store(program))
        start, saved, course = restore_or_begin(program, store)
        stopped = stopped_members(saved.best, train.patience)
        course.has_stopped = len(stopped) == len(program.folders)
        with processes.together():
            tracking.start(start)
        if start == train.num_steps or course.has_stopped:
            return saved, course
        logging.info("%s", program)
        examples = program.dataset.examples("train", program.inputs)
        batches, max_chunk = _make_batches(program.config, examples, layout)
        began = time.monotonic() - course.seconds
        block = _block(start, train, max_chunk)
        # Processes have clocks of their own, and must cut alike.
        pace = Pace(block) if jax.process_count() == 1 else None
        reports = stack.enter_context(
            MemberReports(program.folders, tracking, title, start, train.num_steps)
        )
        to_come = spans(
            start,
            train.num_steps,
            train.log_every,
            eval_every=train.eval_every,
            checkpoint_every=train.checkpoint_every,
            max_chunk=max_chunk,
            pace=pace,
            decides=train.patience > 0,
        )
        chunks = train_chunks(
            compile_chunk(
                program.prepared.trainer,
                build.make_preprocess(program.config),
                program.mode,
                layout,
                block,
            ),
            batches,
            saved.state,
            _until_stopped(to_come, asked, course),
            data_key=stream(build.data_key(program.config), "preprocess"),
            keys=place(program.keys("latents"), layout.state),
            hparams=place(program.hparams, layout.state),
            unreported=course.unreported and course.unreported.placed(layout.state),
        )

        def save(chunk: Chunk, best: Best | None) -> Saved:
            assert chunk.state is not None
            course.seconds = time.monotonic() - began
            course.unreported = chunk.unreported
            # The metrics first: those of a step that can be restored are on disk.
            reports.flush()
            content = Saved(chunk.state, best)
            store.save(chunk.span.end, content, course.meta)
            return content

        step, best, chunk = start, saved.best, None
        for chunk in chunks:
            if chunk.span.start == start:
                logging.info(
                    "compiled; the first step took %.1f s", time.monotonic() - entered
                )
            step, metrics = chunk.span.end, chunk.means()
            if pace:
                pace.made(step - chunk.span.start)
            _note_failures(program, chunk, metrics["loss"], course, store, stopped)
            ended = course.failed.keys() | stopped
            reports.training(step, metrics, ended, chunk.span.reports)
            if chunk.state is None:
                continue  # neither an evaluation nor a save is due
            if chunk.span.evaluates and not course.has_stopped:
                variables = chunk.state.eval_variables
                elbos = _evaluate(program, variables, step, ended, reports, tracking)
                if best is not None:
                    elbo = place(elbos, layout.state)
                    best = updated(best, chunk.state, elbo, train.patience)
                    stopped = stopped_members(best, train.patience)
                    course.has_stopped = len(stopped) == len(program.folders)
            if chunk.span.saves:
                saved = save(chunk, best)
        if chunk and not chunk.span.saves:
            saved = save(chunk, best)
        if course.signal:
            where = f" at step {step} of {train.num_steps}"
            raise signals.Interrupted(course.signal, where)
    return saved, course


def _block(start: int, train: ConfigDict, max_chunk: int | None) -> int:
    """How many steps are a loop of known length; on a CPU, which gains nothing, one.

    There the bits of a training don't depend on how it is cut into chunks.
    """
    if jax.default_backend() == "cpu":
        return 1
    periods = (train.log_every, train.eval_every, train.checkpoint_every, max_chunk)
    return block_length(start, train.num_steps, *periods)


def _until_stopped(
    to_come: Iterator[Span], asked: Callable[[], int], course: Course
) -> Iterator[Span]:
    """The spans up to a signal, or to where no member gets better any more."""
    for span in to_come:
        course.signal = asked()
        if course.signal or course.has_stopped:
            return
        yield span


def _note_failures(
    program: Program,
    chunk: Chunk,
    losses: np.ndarray,
    course: Course,
    store: Store,
    stopped: Collection[int],
) -> None:
    """Notes members whose loss has become NaN or infinite, before they had stopped.

    Raises:
        NonFiniteLossError: no other member is left.
    """
    for m, first_bad in enumerate(chunk.first_bad_steps()):
        if first_bad < 0 or m in course.failed or m in stopped:
            continue
        course.failed[m] = int(first_bad)
        if len(course.failed) == len(program.folders):
            raise NonFiniteLossError(
                int(first_bad), float(losses[m]), store.newest(), course.failed
            )
        logging.warning(
            "%s: the loss became %s at step %d",
            program.folders[m],
            losses[m],
            first_bad,
        )


def _evaluate(
    program: Program,
    variables: Params | Variables,
    step: int,
    ended: Collection[int],
    reports: MemberReports,
    tracking: Tracking,
) -> np.ndarray:
    """ELBOs of the validation split, [M], nats; NaN for members that have ended."""
    # One key for all: differences between members are their own.
    key = stream(build.data_key(program.config), "validation latents")
    elbos = np.full(len(program.folders), np.nan, np.float32)
    for m in range(len(program.folders)):
        if m in ended:
            continue
        # Every process evaluates, so no barrier is needed.
        trained = Trained.of(program.prepared.model, member(variables, m))
        found = split_statistics(trained, program.validation, key, num_samples=1)
        summary = summarize_split(trained, program.validation, found, num_samples=1)
        values = {k: v for k in IN_TRAINING if (v := summary[k]) is not None}
        reports.evaluation(step, m, values)
        tracking.evaluation(step, m, trained, found)
        elbos[m] = values.get("elbo", np.nan)
    return elbos


def _make_batches(
    config: ConfigDict, examples: Examples, layout: Layout
) -> tuple[Batches, int | None]:
    """The training set on the devices if it fits, else a stream of the same batches.

    Also a bound on the steps of a chunk, of a stream.
    """
    data, budget = config.data, config.data.device_budget_mb * 1e6
    names = ("seed", "batch_size", "labelled_batch_size")
    order = {name: data[name] for name in names}
    total = num_bytes(examples)
    if total <= budget:
        in_memory = InMemoryBatches(
            examples, **order, sharding=layout.shared, rows_sharding=layout.steps
        )
        return in_memory, None
    from vae_jax.data import streaming  # grain delays the start of training

    shards, each = layout.mesh.shape["data"], total // num_examples(examples)
    chunk = streaming.max_chunk(each, data.batch_size, shards, budget)
    if not chunk:
        raise ConfigError(
            f"data.device_budget_mb={data.device_budget_mb:g}: must hold four batches"
            f" of {data.batch_size // shards} images of {each} bytes"
        )
    logging.info(
        "streaming: %.4g MB of images exceed data.device_budget_mb=%g",
        total / 1e6,
        data.device_budget_mb,
    )
    chunk = min(chunk, config.train.log_every, config.train.num_steps)
    streamed = streaming.StreamedBatches(
        examples,
        **order,
        num_steps=config.train.num_steps,
        read_ahead=chunk,
        sharding=layout.steps,
    )
    return streamed, chunk
