"""One compiled program that makes a chunk of steps of all members.

It picks the rows of each batch from examples that stay on the device, preprocesses
them, makes the update, and adds up the metrics.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.training.ensemble import Mode, over_members
from vae_jax.training.mesh import Layout, place
from vae_jax.training.state import TrainState
from vae_jax.training.step import Trainer
from vae_jax.types import Array, Examples, Hparams, Key, Metrics


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
    """Metrics of each member over the steps since the last report."""

    metrics: dict[str, Array]  # [M], sums over the steps
    first_bad: Array  # [M], int32: first step with a non-finite loss, or -1


Carry = tuple[TrainState, ChunkSums]


def compile_chunk(
    trainer: Trainer,
    preprocess: Callable[[Examples, Key], Examples],
    mode: Mode = "exact",
    layout: Layout | None = None,
    block: int = 1,
) -> "ChunkProgram":
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
        The program.
    """

    def step(
        i: ArrayLike, state: TrainState, given: ChunkInput, key: Key, hparams: Hparams
    ) -> tuple[TrainState, Metrics]:
        batch = given.batch(i)
        if layout:
            batch = jax.lax.with_sharding_constraint(batch, layout.batch)
        x_key = jax.random.fold_in(given.data_key, given.start + i)
        return trainer.step(state, preprocess(batch, x_key), key, hparams)

    def run(
        state: TrainState,
        sums: ChunkSums,
        given: ChunkInput,
        key: Key,
        hparams: Hparams,
    ) -> Carry:
        def add(i: ArrayLike, carry: Carry) -> Carry:
            state, sums = carry
            state, metrics = step(i, state, given, key, hparams)
            bad = (sums.first_bad < 0) & ~jnp.isfinite(metrics["loss"])
            return state, ChunkSums(
                jax.tree.map(jnp.add, sums.metrics, metrics),
                jnp.where(bad, given.start + i, sums.first_bad),
            )

        def add_block(j: ArrayLike, carry: Carry) -> Carry:
            first = j * block
            return jax.lax.fori_loop(0, block, lambda i, c: add(first + i, c), carry)

        # A loop with a traced length: chunks cut short by a checkpoint need no
        # compilation of their own.
        body = add if block == 1 else add_block
        return jax.lax.fori_loop(0, given.length // block, body, (state, sums))

    def run_all(
        states: TrainState,
        sums: ChunkSums,
        given: ChunkInput,
        keys: Key,
        hparams: Hparams,
    ) -> Carry:
        def run_one(
            state: TrainState, sums: ChunkSums, key: Key, hparams: Hparams
        ) -> Carry:
            return run(state, sums, given, key, hparams)

        return over_members(run_one, mode)(states, sums, keys, hparams)

    def first_metrics(
        states: TrainState, given: ChunkInput, keys: Key, hparams: Hparams
    ) -> Metrics:
        def of_one(state: TrainState, key: Key, hparams: Hparams) -> Metrics:
            return step(np.int32(0), state, given, key, hparams)[1]

        return over_members(of_one, mode)(states, keys, hparams)

    # States come back as they went in, whatever the compiler would prefer.
    sharding = layout.state if layout else None
    jitted = jax.jit(run_all, donate_argnums=0, out_shardings=(sharding, sharding))
    return ChunkProgram(jitted, first_metrics, layout)


class ChunkProgram:
    """Makes the steps of a chunk; from `compile_chunk`."""

    def __init__(
        self,
        jitted: Any,
        first_metrics: Callable[..., Metrics],
        layout: Layout | None,
    ) -> None:
        """Keeps what it is given.

        Args:
            jitted: (states, sums, given, keys, hparams) -> (states, sums), jitted.
            first_metrics: (states, given, keys, hparams) -> metrics of a step, [M].
            layout: where the sums lie, as the states.
        """
        self._jitted, self._first_metrics = jitted, first_metrics
        self._layout = layout
        self._nothing: ChunkSums | None = None

    def __call__(
        self,
        states: TrainState,
        given: ChunkInput,
        keys: Key,
        hparams: Hparams,
        sums: ChunkSums | None = None,
    ) -> Carry:
        """(states [M], input, keys [M], hparams [M]) -> (states, sums).

        Donates the states. With `sums` they go on from these, else they are those of
        the chunk.
        """
        sums = sums or self._no_sums(states, given, keys, hparams)
        carry: Carry = self._jitted(states, sums, given, keys, hparams)
        return carry

    def lower(
        self, states: TrainState, given: ChunkInput, keys: Key, hparams: Hparams
    ) -> jax.stages.Lowered:
        """The program of these arguments, lowered."""
        sums = self._no_sums(states, given, keys, hparams)
        lowered: jax.stages.Lowered = self._jitted.lower(
            states, sums, given, keys, hparams
        )
        return lowered

    def _no_sums(
        self, states: TrainState, given: ChunkInput, keys: Key, hparams: Hparams
    ) -> ChunkSums:
        """Those of no steps; made once, and always the same arrays."""
        if self._nothing is None:
            shapes = jax.eval_shape(self._first_metrics, states, given, keys, hparams)
            nothing = ChunkSums(
                jax.tree.map(lambda s: jnp.asarray(np.zeros(s.shape, s.dtype)), shapes),
                jnp.asarray(np.full(shapes["loss"].shape, -1, np.int32)),
            )
            self._nothing = (
                place(nothing, self._layout.state) if self._layout else nothing
            )
        return self._nothing
