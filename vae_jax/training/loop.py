"""The loop around the step: many steps per call of the device, nothing in between.

One compiled program runs a chunk of steps: it picks the rows of each batch from images
that stay on the device, preprocesses them and makes the update. Python hands over the
next chunk before it reads the metrics of the last one, saves it or evaluates it, so the
device never waits.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.training.ensemble import ensemble
from vae_jax.training.mesh import Layout, fetch
from vae_jax.training.state import TrainState
from vae_jax.training.step import Trainer
from vae_jax.types import Array, Hparams, Key


class Batches(Protocol):
    """Where a chunk of steps finds its images."""

    def __call__(
        self, start: int, length: int, padded: int
    ) -> tuple[Array, Array | None]:
        """Images [N, ...] and, for each step, rows of them [padded, B].

        Or the batches themselves, [padded, B, ...], and None. Only the first `length`
        steps are run; what is given for the rest does not matter.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ChunkReport:
    """What a chunk of steps tells: means over its steps."""

    step: int  # number of updates made after the chunk
    metrics: dict[str, np.ndarray]  # [] or [M]
    first_bad_step: np.ndarray  # [] or [M]: first step with a non-finite loss, or -1


Members = Literal["one", "vmap", "exact"]
RunChunk = Callable[..., tuple[TrainState, dict[str, Array], Array]]


def compile_chunk(
    trainer: Trainer,
    preprocess: Callable[[Array, Key], Array],
    members: Members = "one",
    layout: Layout | None = None,
) -> RunChunk:
    """One program for a chunk of any length up to that of `rows`.

    Args:
        trainer: of one member.
        preprocess: (images [B, ...], key) -> x, see `data.batches.preprocessor`.
        members: "one" run; or M of them, with an axis M in front of state, key and
            hparams: "vmap" computes them side by side, "exact" one after the other,
            bit for bit as M single runs.
        layout: where state and batches lie on several devices; None: on one.

    Returns:
        A function (state, images [N, ...], rows [n, B], start, length, data_key, key,
        hparams) -> (state, sums of metrics, first bad step). It donates the state.
        Where rows are None, images are the batches, [n, B, ...].
    """
    if members == "vmap":
        trainer = ensemble(trainer)
    # A state comes back as it went in, whatever the compiler would prefer.
    state_sharding = layout.state if layout else None

    def one_step(
        state: TrainState,
        i: Any,
        images: Array,
        rows: Array | None,
        start: Array,
        *rest: Any,
    ) -> tuple[TrainState, dict[str, Array]]:
        data_key, key, hparams = rest
        x_key = jax.random.fold_in(data_key, start + i)
        batch = images[i] if rows is None else images[rows[i]]
        if layout:
            batch = jax.lax.with_sharding_constraint(batch, layout.batch)
        return trainer.step(state, preprocess(batch, x_key), key, hparams)

    def begin(state: TrainState, *data: Any) -> Any:
        shapes = jax.eval_shape(one_step, state, np.int32(0), *data)[1]
        sums = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return state, sums, jnp.full(shapes["loss"].shape, -1, jnp.int32)

    def body(i: Any, carry: Any, *data: Any) -> Any:
        state, sums, first_bad = carry
        state, metrics = one_step(state, i, *data)
        sums = jax.tree.map(jnp.add, sums, metrics)
        bad = (first_bad < 0) & ~jnp.isfinite(metrics["loss"])
        return state, sums, jnp.where(bad, data[2] + i, first_bad)

    def run(
        state: TrainState,
        images: Array,
        rows: Array | None,
        start: Array,
        length: Array,
        data_key: Key,
        key: Key,
        hparams: Hparams,
    ) -> tuple[TrainState, dict[str, Array], Array]:
        data = (images, rows, start, data_key, key, hparams)
        # A loop with a traced length: chunks cut short by a checkpoint need no
        # compilation of their own.
        return jax.lax.fori_loop(
            0, length, lambda i, carry: body(i, carry, *data), begin(state, *data)
        )

    def run_in_turn(
        states: TrainState, *shared: Any
    ) -> tuple[TrainState, dict[str, Array], Array]:
        *data, keys, hparams = shared
        each = (states, keys, hparams)
        return jax.lax.map(lambda m: run(m[0], *data, *m[1:]), each)

    return jax.jit(
        run_in_turn if members == "exact" else run,
        donate_argnums=0,
        out_shardings=(state_sharding, None, None),
    )


@dataclasses.dataclass(frozen=True)
class Pause:
    """Something to do with the state every so many steps, and at the end."""

    every: int  # steps; 0 means only at the end
    action: Callable[[int, TrainState], None]


def train_loop(
    run: RunChunk,
    batches: Batches,
    state: TrainState,
    *,
    start: int,
    num_steps: int,
    log_every: int,
    data_key: Key,
    key: Key,
    hparams: Hparams,
    on_report: Callable[[ChunkReport], None],
    max_chunk: int | None = None,
    pauses: Sequence[Pause] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[int, TrainState]:
    """Trains from `start` to `num_steps`.

    Args:
        run: from `compile_chunk`.
        batches: gives the images of a chunk.
        state: at `start`; it is donated.
        start: number of updates already made.
        num_steps: number of updates at the end.
        log_every: steps per report, and per call of the device.
        data_key: of preprocessing; that of step t is folded from t.
        key: of the step, [] or [M].
        hparams: of the step, fields [] or [M].
        on_report: called once per chunk, in order, while the next one already runs. An
            exception it raises ends the loop.
        max_chunk: fewer steps per call, and so per report, where memory is short.
        pauses: called with (step, state) once all reports up to that step are in, so
            a state after a reported non-finite loss is never seen. The next chunk
            already runs: the state is a copy, which may be kept.
        should_stop: asked between chunks; the pauses are then called one last time.

    Returns:
        The step reached and the state there.
    """
    step = start
    # No chunk is longer, so its rows need not be: one may log "never".
    ever = [num_steps, log_every, max_chunk or log_every, *(p.every for p in pauses)]
    max_chunk = min(n for n in ever if n)
    pending: _Chunk | None = None
    while step < num_steps and not should_stop():
        end = min(
            [_next(step, n) for n in (log_every, *(p.every for p in pauses)) if n]
        )
        end = min(end, num_steps, step + max_chunk)
        images, rows = batches(step, end - step, max_chunk)
        state, sums, first_bad = run(
            state,
            images,
            rows,
            np.int32(step),
            np.int32(end - step),
            data_key,
            key,
            hparams,
        )
        due = [p for p in pauses if p.every and end % p.every == 0 and end < num_steps]
        # The next chunk takes the state over while the pauses look at their copy.
        chunk = _Chunk(
            end, end - step, sums, first_bad, due, _copy(state) if due else None
        )
        if pending:
            pending.report(on_report)
            pending.pause()
        pending, step = chunk, end
    if pending:
        pending.report(on_report)
    for pause in pauses:
        pause.action(step, state)
    return step, state


@jax.jit
def _copy(state: TrainState) -> TrainState:
    """The same arrays in memory of their own."""
    return jax.tree.map(jnp.copy, state)


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """A chunk that the device has been given and Python has yet to look at."""

    end: int
    length: int
    sums: Mapping[str, Array]
    first_bad: Array
    due: Sequence[Pause]
    state: TrainState | None  # at the end, for the pauses that are due there

    def report(self, on_report: Callable[[ChunkReport], None]) -> None:
        metrics = {
            name: fetch(value) / self.length for name, value in self.sums.items()
        }
        on_report(ChunkReport(self.end, metrics, fetch(self.first_bad)))

    def pause(self) -> None:
        for pause in self.due:
            assert self.state is not None
            pause.action(self.end, self.state)


def _next(step: int, every: int) -> int:
    """The first multiple of `every` after `step`."""
    return (step // every + 1) * every
