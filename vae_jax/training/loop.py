"""The loop around the step: many steps per call of the device, nothing in between.

One compiled program runs a chunk of steps of all members: it picks the rows of each
batch from images that stay on the device, preprocesses them and makes the update.
Python hands over the next chunk before it reads the metrics of the last one, saves it
or evaluates it, so the device never waits:

    for chunk in train_chunks(run, batches, states, spans(...), ...):
        ...                         # the device is at work on the next chunk meanwhile
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.training.mesh import Layout, fetch
from vae_jax.training.state import TrainState
from vae_jax.training.step import Trainer
from vae_jax.types import Array, Examples, Hparams, Key, Metrics

# Steps of a chunk's input. Where there is one, the compiler knows which it is, takes
# what does not change out of the loop, and rounds otherwise than for longer chunks.
SHORTEST = 2

Mode = Literal["vmap", "exact"]
"""How M members are computed: side by side, or in turn with the bits of single runs."""

Result = TypeVar("Result")


class Batches(Protocol):
    """Where a chunk of steps finds its examples."""

    def __call__(
        self, start: int, length: int, padded: int
    ) -> tuple[Examples, Array | None]:
        """Examples, arrays [N, ...], and for each step rows of them [padded, B].

        Or the batches themselves, [padded, B, ...], and None. Only the first `length`
        steps are run; what is given for the rest does not matter.
        """
        ...


class ChunkInput(NamedTuple):
    """Input of a chunk of at most n steps, shared by all members."""

    examples: Examples  # arrays [N, ...]; where rows are None the batches, [n, B, ...]
    rows: Array | None  # [n, B], int32: rows of the examples of each step
    start: Array | np.int32  # [], int32: number of updates made before
    length: Array | np.int32  # [], int32: steps to make
    data_key: Key  # of preprocessing; that of step t is folded from t

    def batch(self, i: ArrayLike) -> Examples:
        """The examples of step `start + i`, [B, ...]."""
        which = i if self.rows is None else self.rows[i]
        return jax.tree.map(lambda array: array[which], self.examples)


class ChunkSums(NamedTuple):
    """Metrics of each member over one chunk of steps."""

    metrics: dict[str, Array]  # [M], sums over the steps
    first_bad: Array  # [M], int32: first step with a non-finite loss, or -1


Carry = tuple[TrainState, ChunkSums]
RunChunk = Callable[[TrainState, ChunkInput, Key, Hparams], Carry]


def over_members(function: Callable[..., Result], mode: Mode) -> Callable[..., Result]:
    """A function of one member as a function of M.

    Args:
        function: function of pytrees of one member.
        mode: "vmap" computes the members side by side, which equals single calls up
            to rounding; "exact" one after the other, bit for bit as single calls. With
            one member XLA removes the loop over it, which then costs nothing.

    Returns:
        A function whose arguments and results have an axis M in front.
    """
    if mode == "vmap":
        return jax.vmap(function)
    return lambda *members: jax.lax.map(lambda own: function(*own), members)


def compile_chunk(
    trainer: Trainer,
    preprocess: Callable[[Examples, Key], Examples],
    mode: Mode = "exact",
    layout: Layout | None = None,
    block: int = 1,
) -> RunChunk:
    """One program for a chunk of any length up to that of its input.

    Args:
        trainer: trainer of one member.
        preprocess: (examples [B, ...], key) -> x, see `data.batches.preprocessor`.
        mode: how members are computed, see `over_members`. A single run is one member
            in mode "exact".
        layout: where states and batches lie on several devices; None: on one.
        block: a number that divides the length of every chunk, see `block_length`. So
            many steps are a loop whose length the compiler knows. An accelerator runs
            it without asking the host after each step whether another one follows,
            which takes a third of the time of a small one. Another number can change
            how a compiler rounds.

    Returns:
        A function (states [M], `ChunkInput`, keys [M], hparams [M]) -> (states,
        `ChunkSums`). It donates the states.
    """

    def run(state: TrainState, given: ChunkInput, key: Key, hparams: Hparams) -> Carry:
        def step(i: ArrayLike, state: TrainState) -> tuple[TrainState, Metrics]:
            batch = given.batch(i)
            if layout:
                batch = jax.lax.with_sharding_constraint(batch, layout.batch)
            x_key = jax.random.fold_in(given.data_key, given.start + i)
            return trainer.step(state, preprocess(batch, x_key), key, hparams)

        def add(i: ArrayLike, carry: Carry) -> Carry:
            state, sums = carry
            state, metrics = step(i, state)
            bad = (sums.first_bad < 0) & ~jnp.isfinite(metrics["loss"])
            return state, ChunkSums(
                jax.tree.map(jnp.add, sums.metrics, metrics),
                jnp.where(bad, given.start + i, sums.first_bad),
            )

        shapes = jax.eval_shape(step, np.int32(0), state)[1]
        nothing = ChunkSums(
            jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes),
            jnp.full(shapes["loss"].shape, -1, jnp.int32),
        )

        def add_block(j: ArrayLike, carry: Carry) -> Carry:
            first = j * block
            return jax.lax.fori_loop(0, block, lambda i, c: add(first + i, c), carry)

        # A loop with a traced length: chunks cut short by a checkpoint need no
        # compilation of their own.
        body = add if block == 1 else add_block
        return jax.lax.fori_loop(0, given.length // block, body, (state, nothing))

    def run_all(
        states: TrainState, given: ChunkInput, keys: Key, hparams: Hparams
    ) -> Carry:
        def run_one(state: TrainState, key: Key, hparams: Hparams) -> Carry:
            return run(state, given, key, hparams)

        return over_members(run_one, mode)(states, keys, hparams)

    # States come back as they went in, whatever the compiler would prefer.
    sharding = layout.state if layout else None
    return jax.jit(run_all, donate_argnums=0, out_shardings=(sharding, None))


class Span(NamedTuple):
    """Steps that are run as one chunk, and what is due at their end."""

    start: int  # number of updates made before
    end: int  # and after
    padded: int  # length of the longest span, and so of every chunk's input
    evaluates: bool
    saves: bool


def spans(
    start: int,
    num_steps: int,
    log_every: int,
    *,
    eval_every: int = 0,
    checkpoint_every: int = 0,
    max_chunk: int | None = None,
) -> Iterator[Span]:
    """Cuts a training into spans, lazily.

    Args:
        start: number of updates already made.
        num_steps: number of updates at the end; evaluated, if anything is, and saved.
        log_every: steps per report, and so per span at most.
        eval_every: an evaluation after each multiple of it; 0: none.
        checkpoint_every: a save after each multiple of it; 0: only at the end.
        max_chunk: fewer steps per span where memory is short.

    Yields:
        Spans without gaps from `start` to `num_steps`. One ends at each multiple of
        the three numbers, wherever training was begun or went on.
    """
    periods = [n for n in (log_every, eval_every, checkpoint_every) if n]
    # No span is longer, so its rows need not be: one may log "never".
    longest = min(num_steps, max_chunk or num_steps, *periods)
    padded = max(longest, SHORTEST)
    while start < num_steps:
        end = min(num_steps, start + longest, *((start // n + 1) * n for n in periods))
        is_end = end == num_steps
        yield Span(
            start,
            end,
            padded,
            evaluates=bool(eval_every) and (is_end or end % eval_every == 0),
            saves=is_end or (bool(checkpoint_every) and end % checkpoint_every == 0),
        )
        start = end


def block_length(start: int, num_steps: int, *periods: int | None) -> int:
    """The largest number that divides the length of each of `spans`.

    Args:
        start: number of updates already made.
        num_steps: number of updates at the end.
        *periods: `log_every`, `eval_every`, `checkpoint_every` and `max_chunk` of
            `spans`.
    """
    inside = (n for n in periods if n and n < num_steps)
    return math.gcd(start, num_steps, *inside)


class Chunk(NamedTuple):
    """A span that has been handed to the device."""

    span: Span
    sums: ChunkSums  # on the device, perhaps not there yet
    state: TrainState | None = None  # at its end, where something is due; may be kept
    is_last: bool = False

    def means(self) -> dict[str, np.ndarray]:
        """Metrics averaged over the steps, [M]; blocks until they are computed."""
        length = self.span.end - self.span.start
        return {k: fetch(value) / length for k, value in self.sums.metrics.items()}

    def first_bad_steps(self) -> np.ndarray:
        """For each member its first step with a non-finite loss, or -1, [M]; blocks."""
        return fetch(self.sums.first_bad)


def train_chunks(
    run: RunChunk,
    batches: Batches,
    states: TrainState,
    to_come: Iterable[Span],
    data_key: Key,
    keys: Key,
    hparams: Hparams,
) -> Iterator[Chunk]:
    """Trains one span after the other.

    A chunk is yielded while the device already works on the next one. Where its span
    evaluates or saves, its state is therefore a copy.

    Args:
        run: from `compile_chunk`.
        batches: gives the examples of a chunk.
        states: states of M members before the first span; donated.
        to_come: the spans. Each is taken right before it is handed to the device,
            and training ends where they end, so they may stop at a signal.
        data_key: random key for preprocessing; step t uses the key folded from t.
        keys: random keys for the steps of each member, [M].
        hparams: hyperparameters of each member, fields [M].

    Yields:
        A chunk for each span. The last one has a state whatever its span says.
    """
    chunk: Chunk | None = None
    for span in to_come:
        if chunk and (chunk.span.evaluates or chunk.span.saves):
            chunk = chunk._replace(state=_copy(states))
        examples, rows = batches(span.start, span.end - span.start, span.padded)
        start, length = np.int32(span.start), np.int32(span.end - span.start)
        given = ChunkInput(examples, rows, start, length, data_key)
        states, sums = run(states, given, keys, hparams)
        if chunk:
            yield chunk
        chunk = Chunk(span, sums)
    if chunk:
        yield chunk._replace(state=states, is_last=True)


@jax.jit
def _copy(state: TrainState) -> TrainState:
    """The same arrays in memory of their own."""
    return jax.tree.map(jnp.copy, state)
