"""The loop around the step: many steps per call of the device, nothing in between.

Python hands over the next chunk of steps before it reads the metrics of the last one,
saves it or evaluates it, so the device never waits:

    for chunk in train_chunks(run, batches, states, spans(...), ...):
        ...                         # the device is at work on the next chunk meanwhile

Where steps are slow, several chunks lie between two reports, and their sums go on from
one to the next: neither bits nor metrics depend on how a training is cut.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from vae_jax.training.chunks import ChunkInput, ChunkProgram, ChunkSums
from vae_jax.training.mesh import fetch, place
from vae_jax.training.spans import Span
from vae_jax.training.state import TrainState
from vae_jax.types import Array, Examples, Hparams, Key


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


class Unreported(NamedTuple):
    """Sums since the last report."""

    first: int  # number of updates made before them
    sums: ChunkSums  # on the device, perhaps not there yet

    def placed(self, sharding: NamedSharding) -> "Unreported":
        """The same where `sharding` says."""
        return self._replace(sums=place(self.sums, sharding))


class Chunk(NamedTuple):
    """A span that has been handed to the device."""

    span: Span
    first: int  # number of updates made before the steps of `sums`
    sums: ChunkSums  # on the device, perhaps not there yet
    state: TrainState | None = None  # at its end, where something is due; may be kept

    @property
    def unreported(self) -> Unreported | None:
        """What the next chunk goes on from; None after a report."""
        return None if self.span.reports else Unreported(self.first, self.sums)

    def means(self) -> dict[str, np.ndarray]:
        """Metrics averaged over the steps since the last report, [M]; blocks."""
        length = self.span.end - self.first
        return {k: fetch(value) / length for k, value in self.sums.metrics.items()}

    def first_bad_steps(self) -> np.ndarray:
        """For each member its first step with a non-finite loss, or -1, [M]; blocks."""
        return fetch(self.sums.first_bad)


def train_chunks(
    run: ChunkProgram,
    batches: Batches,
    states: TrainState,
    to_come: Iterable[Span],
    data_key: Key,
    keys: Key,
    hparams: Hparams,
    unreported: Unreported | None = None,
) -> Iterator[Chunk]:
    """Trains one span after the other.

    A chunk is yielded while the device already works on the next one, unless it decides
    whether there is a next one. Where its span evaluates or saves, its state is
    therefore a copy.

    Args:
        run: from `compile_chunk`.
        batches: gives the examples of a chunk.
        states: states of M members before the first span; donated.
        to_come: the spans. Each is taken right before it is handed to the device,
            and training ends where they end, so they may stop at a signal.
        data_key: random key for preprocessing; step t uses the key folded from t.
        keys: random keys for the steps of each member, [M].
        hparams: hyperparameters of each member, fields [M].
        unreported: sums of steps before the first span that were not reported.

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
        first, sums = unreported or (span.start, None)
        states, sums = run(states, given, keys, hparams, sums)
        if chunk:
            yield chunk
        chunk = Chunk(span, first, sums)
        unreported = chunk.unreported
        if span.decides:
            yield chunk._replace(state=_copy(states))
            chunk = None
    if chunk:
        yield chunk._replace(state=states)


@jax.jit
def _copy(state: TrainState) -> TrainState:
    """The same arrays in memory of their own."""
    return jax.tree.map(jnp.copy, state)
