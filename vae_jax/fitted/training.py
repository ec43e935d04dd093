"""Training of a fitted prior: so many steps, and the best parameters are kept."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.evaluation.chunks import Progress, even_rows, map_chunks
from vae_jax.training.spans import Pace, spans
from vae_jax.types import Array, Key, Params, PyTree, stream

MOST_EVALUATIONS = 20  # by the validation codes, at equal distances
LEAST_STEPS = 50  # between two of them
ROWS_PER_CHUNK = 256
MAX_VALIDATION = 2_000  # codes that decide
LogProb = Callable[[Params, Array], Array]  # (parameters, rows [B, ...]) -> nats, [B]


class Learner(NamedTuple):
    """What is trained, as pure functions of a state; the caller jits them."""

    state: PyTree
    """A pytree of arrays before the first step."""

    step: Callable[[PyTree, Array, Key], PyTree]
    """(state, rows [B, ...], key) -> next state."""

    params: Callable[[PyTree], Params]
    """state -> parameters, of which the best are kept."""

    log_prob: LogProb
    """(parameters, rows [B, ...]) -> nats, [B]; the larger its mean, the better."""


def maximum_likelihood(
    params: Params, log_prob: LogProb, tx: optax.GradientTransformation
) -> Learner:
    """Climbs the mean of log_prob.

    Args:
        params: parameters at the start.
        log_prob: (parameters, rows [B, ...]) -> nats, [B].
        tx: the optimiser, learning rate included.
    """

    def step(
        state: tuple[Params, optax.OptState], rows: Array, key: Key
    ) -> tuple[Params, optax.OptState]:
        params, opt_state = state
        gradient = jax.grad(lambda p: -log_prob(p, rows).mean())(params)
        updates, opt_state = tx.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return Learner((params, tx.init(params)), step, lambda state: state[0], log_prob)


def train(
    learner: Learner,
    rows: Array,
    validation: Array,
    key: Key,
    num_steps: int,
    batch_size: int,
    progress: Progress | None = None,
) -> Params:
    """Trains for so many steps, each on rows drawn with replacement.

    Args:
        learner: what is trained.
        rows: the training codes, [N, ...].
        validation: codes that decide which parameters are kept, [M, ...].
        key: random key for the choice of rows and for the steps.
        num_steps: how many steps.
        batch_size: rows of a step.
        progress: called with (steps done, num_steps).

    Returns:
        The parameters with the highest mean log_prob of the validation codes, among
        those at the start, at the end and at equal distances between.
    """
    # Arguments rather than constants of the programs, which would copy them.
    rows = jnp.asarray(rows)
    judges = jnp.asarray(validation[even_rows(len(validation), MAX_VALIDATION)])
    row_key, step_key = stream(key, "rows"), stream(key, "steps")

    @functools.partial(jax.jit, donate_argnums=0)
    def run_chunk(state: PyTree, rows: Array, start: Array, length: Array) -> PyTree:
        def one(t: Array, state: PyTree) -> PyTree:
            chosen = jax.random.randint(
                jax.random.fold_in(row_key, t), (batch_size,), 0, rows.shape[0]
            )
            return learner.step(state, rows[chosen], jax.random.fold_in(step_key, t))

        return jax.lax.fori_loop(start, start + length, one, state)

    @jax.jit
    def score(params: Params, judges: Array) -> Array:
        return mean_log_prob(learner.log_prob, params, judges)

    # Copied: the first chunk takes the memory of the state that it is given.
    state = jax.tree.map(jnp.copy, learner.state)
    best = jax.tree.map(jnp.copy, learner.params(state))
    highest = score(best, judges)
    every = max(LEAST_STEPS, -(-num_steps // MOST_EVALUATIONS))
    pace = Pace()
    for span in spans(0, num_steps, every, pace=pace):
        count = span.end - span.start
        state = run_chunk(state, rows, np.int32(span.start), np.int32(count))
        jax.block_until_ready(state)
        pace.made(count)
        if span.reports:
            found = score(learner.params(state), judges)
            if found > highest:
                highest, best = found, jax.tree.map(jnp.copy, learner.params(state))
        if progress is not None:
            progress(span.end, num_steps)
    return best


def mean_log_prob(log_prob: LogProb, params: Params, rows: Array) -> Array:
    """Mean of log_prob over rows, some of them at a time, nats, []."""
    return map_chunks(lambda part: log_prob(params, part), rows, ROWS_PER_CHUNK).mean()
