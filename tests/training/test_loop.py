"""The loop: chunks that don't show in the result, and events in their order."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import linear_gaussian as lg
from vae_jax.data.batches import InMemoryBatches
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.training.chunks import ChunkInput, ChunkSums, compile_chunk
from vae_jax.training.ensemble import over_members
from vae_jax.training.functions import ModelFunctions
from vae_jax.training.loop import train_chunks
from vae_jax.training.spans import Pace, block_length, spans
from vae_jax.training.state import make_hparams, scale_by_hparam
from vae_jax.training.step import vae_trainer

N, B, STEPS = 23, 4, 10
DATA_KEY, KEYS = jax.random.key(1), jax.random.split(jax.random.key(2), 3)
NEVER = 2**31 - 1


def make_numbers(**values):
    return make_hparams(**{"kl_weight": [1.0], "learning_rate": [0.01], **values})


def init(key, x):
    shift = 0.3 * jax.random.normal(key)
    return jax.tree.map(lambda leaf: leaf + shift, lg.make_params())


TRAINER = vae_trainer(
    ModelFunctions(init, lg.apply),
    elbo_loss,
    optax.chain(optax.scale_by_adam(), scale_by_hparam()),
    ema_decay=0.9,
)


def preprocess(images, key):
    return images + 0.1 * jax.random.normal(key, images.shape)


RUN = compile_chunk(TRAINER, preprocess)
IMAGES = np.asarray(lg.draw_x(lg.make_params(), N))
BATCHES = InMemoryBatches(IMAGES, seed=3, batch_size=B)


@jax.jit
def start(keys=KEYS[:1]):
    return jax.vmap(TRAINER.init, in_axes=(0, None))(keys, IMAGES[:B])


def run(cuts, program=RUN, batches=BATCHES, keys=KEYS[:1], hparams=None):
    """The chunks of `cuts` steps each: the states, and what each chunk told."""
    states, told, step = start(keys), [], 0
    hparams = make_numbers() if hparams is None else hparams
    for length in cuts:
        numbers = np.int32(step), np.int32(length)
        given = ChunkInput(*batches(step, length, STEPS), *numbers, DATA_KEY)
        states, sums = program(states, given, keys, hparams)
        told.append(sums)
        step += length
    return states, told


def train(to_come, states=None):
    """`train_chunks` over spans of a training of one member, all at once."""
    states = start() if states is None else states
    given = DATA_KEY, KEYS[:1], make_numbers()
    return list(train_chunks(RUN, BATCHES, states, to_come, *given))


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)


def test_a_chunk_is_its_steps_in_turn():
    step = jax.jit(TRAINER.step)
    state, sums = jax.jit(TRAINER.init)(KEYS[0], IMAGES[:B]), {}
    numbers = {name: value[0] for name, value in make_numbers().items()}
    images, rows = BATCHES(0, STEPS, STEPS)
    for t in range(STEPS):
        x = preprocess(images[rows[t]], jax.random.fold_in(DATA_KEY, t))
        state, metrics = step(state, x, KEYS[0], numbers)
        sums = {name: sums.get(name, 0) + value for name, value in metrics.items()}
    states, [told] = run([STEPS])
    assert told.first_bad == -1
    assert states.step == STEPS
    jax.tree.map(close, jax.tree.map(lambda leaf: leaf[None], state), states)
    jax.tree.map(close, sums, {name: v[0] for name, v in told.metrics.items()})


def test_cuts_do_not_change_a_bit():
    whole, _ = run([STEPS])
    for cuts in ((3, 7), (1, 8, 1), (1,) * STEPS):
        parts, _ = run(cuts)
        assert_same(whole, parts)


@pytest.mark.parametrize("block", [2, 10])
def test_blocks_change_no_more_than_rounding(block):
    program = compile_chunk(TRAINER, preprocess, block=block)
    for cuts in ((STEPS,), (block,) * (STEPS // block)):
        jax.tree.map(close, run([STEPS])[0], run(cuts, program)[0])


@pytest.mark.parametrize("first", [0, 12, 50])
@pytest.mark.parametrize("total", [50, 51, 60])
def test_a_block_divides_every_span(first, total):
    for log_every, eval_every, checkpoint_every, most in itertools.product(
        (1, 6, 10, NEVER), (0, 15, 20), (0, 8), (None, 4)
    ):
        every = (log_every, eval_every, checkpoint_every)
        block = block_length(first, total, *every, most)
        cut = spans(
            first,
            total,
            log_every,
            eval_every=eval_every,
            checkpoint_every=checkpoint_every,
            max_chunk=most,
        )
        assert all((span.end - span.start) % block == 0 for span in cut)
    assert block_length(0, 60, 10, 20, 0, None) == 10
    assert block_length(0, 60, NEVER, 20, 0, None) == 20
    assert block_length(0, 5960_000, 5960) == 40  # divides it, and is at most 100


def test_batches_given_whole_are_those_given_by_rows():
    def whole(start, length, padded):
        images, rows = BATCHES(start, length, padded)
        return images[rows], None

    assert_same(run([4, 6]), run([4, 6], batches=whole))


def test_examples_may_be_a_tree_of_arrays():
    """Each array is picked from by the same rows."""

    def from_both(examples, key):
        same = jnp.asarray(IMAGES)[examples["number"]]
        return preprocess((examples["image"] + same) / 2, key)

    def both(start, length, padded):
        images, rows = BATCHES(start, length, padded)
        return {"image": images, "number": jnp.arange(N)}, rows

    states, _ = run([STEPS], compile_chunk(TRAINER, from_both), both)
    jax.tree.map(close, states, run([STEPS])[0])


def test_one_program_for_all_lengths_starts_and_numbers():
    traces = []

    def step(*arguments):
        traces.append(1)
        return TRAINER.step(*arguments)

    program = compile_chunk(TRAINER._replace(step=step), preprocess)
    run([STEPS], program)
    known = len(traces)
    others = make_numbers(kl_weight=[4.0], learning_rate=[0.0])
    run([2, 3, 5], program, hparams=others)
    run([4], program, keys=KEYS[1:2])
    assert len(traces) == known > 0


def test_states_are_donated():
    states, numbers = start(), (np.int32(0), np.int32(1))
    given = ChunkInput(*BATCHES(0, 1, STEPS), *numbers, DATA_KEY)
    RUN(states, given, KEYS[:1], make_numbers())
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(states))


def test_first_bad_step_is_found():
    _, rows = BATCHES(0, STEPS, STEPS)
    images = IMAGES.copy()
    bad = int(rows[6, 2])
    images[bad] = np.nan
    first = int((np.asarray(rows) == bad).any(axis=1).argmax())
    batches = InMemoryBatches(images, seed=3, batch_size=B)
    _, told = run([first, STEPS - first], batches=batches)
    assert [int(sums.first_bad[0]) for sums in told] == [-1, first]
    _, told = run([STEPS], batches=batches)
    assert int(told[0].first_bad[0]) == first


@pytest.mark.parametrize(
    ("mode", "compare"), [("vmap", close), ("exact", np.testing.assert_array_equal)]
)
def test_members_are_single_runs(mode, compare):
    hparams = make_hparams(
        kl_weight=[0.0, 1.0, jnp.nan], learning_rate=[0.01, 0.02, 0.01]
    )
    program = compile_chunk(TRAINER, preprocess, mode)
    many = run([4, 6], program, keys=KEYS, hparams=hparams)
    for m in range(3):
        own = {name: value[m : m + 1] for name, value in hparams.items()}
        alone = run([4, 6], keys=KEYS[m : m + 1], hparams=own)
        mine = jax.tree.map(lambda leaf, m=m: leaf[m : m + 1], many)
        jax.tree.map(compare, mine, alone)
        first_bad = [int(sums.first_bad[0]) for sums in mine[1]]
        assert first_bad == ([0, 4] if m == 2 else [-1, -1])


def test_the_axis_of_a_single_run_costs_nothing():
    """XLA removes a loop over one member; with it, each step would be a copy slower."""

    def loops(function, *arguments):
        return jax.jit(function).lower(*arguments).compile().as_text().count(" while(")

    def count_to(limit):
        return jax.lax.fori_loop(0, limit, lambda i, total: total + jnp.sin(i), 0.0)

    assert loops(count_to, np.int32(5)) == 1
    several = over_members(count_to, "exact")
    assert loops(several, np.full(1, 5, np.int32)) == 1
    assert loops(several, np.full(3, 5, np.int32)) == 2


def cut(*arguments, **periods):
    """Spans as (start, end, what is due): r a report, e an evaluation, s a save."""
    return [
        (
            span.start,
            span.end,
            "r" * span.reports + "e" * span.evaluates + "s" * span.saves,
        )
        for span in spans(*arguments, **periods)
    ]


def test_spans_end_wherever_something_is_due():
    found = cut(0, 7, 2, checkpoint_every=3)
    ends = [(0, 2, "r"), (2, 3, "rs"), (3, 4, "r"), (4, 6, "rs"), (6, 7, "rs")]
    assert found == ends
    found = cut(0, 10, 4, eval_every=5)
    assert found == [(0, 4, "r"), (4, 5, "re"), (5, 8, "r"), (8, 10, "res")]
    found = cut(0, 5, NEVER, eval_every=2, checkpoint_every=4)
    assert found == [(0, 2, "re"), (2, 4, "res"), (4, 5, "res")]
    assert cut(0, 6, 6, max_chunk=4) == [(0, 4, ""), (4, 6, "rs")]
    assert cut(1, 8, 6, max_chunk=4) == [(1, 5, ""), (5, 6, "r"), (6, 8, "rs")]
    assert cut(6, 6, 2) == []


def test_spans_of_a_training_that_goes_on_end_where_they_did():
    periods = {"eval_every": 5, "checkpoint_every": 6}
    whole = cut(0, 20, 4, **periods)
    for start_again in range(20):
        rest = cut(start_again, 20, 4, **periods)
        assert rest[0][0] == start_again
        assert rest[1:] == [span for span in whole if span[0] >= rest[0][1]]


def test_rows_are_no_more_than_a_chunk_can_be():
    """With log_every=2**31 - 1, "never", a table of so many rows would be 1 TiB."""
    for num_steps, max_chunk, every, longest in (
        (7, None, 0, 7),
        (7, None, 3, 3),
        (7, 2, 3, 2),
        (10**9, 5, 0, 5),
    ):
        lazy = spans(0, num_steps, NEVER, checkpoint_every=every, max_chunk=max_chunk)
        found = list(itertools.islice(lazy, 3))
        assert {span.padded for span in found} == {longest}
        assert max(span.end - span.start for span in found) == longest
    assert {span.padded for span in spans(0, 3, 1)} == {2}  # one would round otherwise


def test_loop_goes_on_where_it_stopped():
    straight = train(spans(0, STEPS, 4))
    assert [chunk.span.end for chunk in straight] == [4, 8, 10]
    assert [chunk.state is None for chunk in straight] == [True, True, False]
    half = train(spans(0, 5, 4))[-1].state
    assert half.step == 5
    resumed = train(spans(5, STEPS, 4), half)
    assert [chunk.span.end for chunk in resumed] == [8, 10]
    assert_same(straight[-1].state, resumed[-1].state)


def test_chunks_tell_means_over_their_steps():
    steps = [chunk.means() for chunk in train(spans(0, STEPS, 1))]
    for chunk in train(spans(0, STEPS, 4)):
        assert chunk.first_bad_steps() == [-1]
        for name, value in chunk.means().items():
            own = [step[name] for step in steps[chunk.span.start : chunk.span.end]]
            np.testing.assert_allclose(value, np.mean(own, axis=0), rtol=1e-5)


def test_chunks_come_while_the_next_one_runs():
    events = []

    def run(state, given, keys, hparams, sums):
        events.append(f"run {given.start}+{given.length}")
        return state + given.length, ChunkSums({}, np.int32([-1]))

    def batches(start, length, padded):
        return None, None

    def events_of(to_come):
        events.clear()
        for chunk in train_chunks(run, batches, 0, to_come, DATA_KEY, KEYS, {}):
            kept = "" if chunk.state is None else f" of {chunk.state}"
            events.append(f"see {chunk.span.end}{kept}")
        return events

    first = ["run 0+2", "run 2+1", "see 2", "run 3+1", "see 3 of 3", "run 4+2", "see 4"]
    last = ["run 6+1", "see 6 of 6", "see 7 of 7"]
    assert events_of(spans(0, 7, 2, checkpoint_every=3)) == [*first, *last]
    # Whether another chunk comes is known after the evaluation, and not before.
    first = ["run 0+2", "run 2+1", "see 2", "see 3 of 3", "run 3+1", "run 4+2", "see 4"]
    last = ["see 6 of 6", "run 6+1", "see 7 of 7"]
    assert events_of(spans(0, 7, 2, eval_every=3, decides=True)) == [*first, *last]


def test_a_chunk_has_the_state_of_its_step():
    middle, end = train(spans(0, STEPS, 5, eval_every=5))
    # Kept, though the steps after it have been made.
    assert_same(middle.state, train(spans(0, 5, 5))[-1].state)
    assert_same(end.state, train(spans(0, STEPS, 5))[-1].state)


def test_spans_that_stop_early_end_the_training_there():
    """As a signal does: the last chunk has its state, whether it was due or not."""
    (first, last) = train(itertools.islice(spans(0, STEPS, 4), 2))
    assert first.state is None and last.state is not None
    assert last.span.end == 8
    assert last.state.step == 8
    assert train(itertools.islice(spans(0, STEPS, 4), 0)) == []


def test_no_state_is_copied_where_nothing_is_due():
    states = [chunk.state for chunk in train(spans(0, STEPS, 2, checkpoint_every=4))]
    steps = [None if s is None else int(s.step[0]) for s in states]
    assert steps == [None, 4, None, 8, 10]


class Clock:
    """Time that passes as steps are made, each of so many seconds."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("block", [1, 4])
def test_chunks_take_as_long_as_patience_lasts(block):
    clock = Clock()
    pace, lengths = Pace(block, 2.0, clock), []
    for seconds in [0.01] * 12 + [0.5] * 12:
        lengths.append(pace.steps)
        clock.now += seconds * pace.steps
        pace.made(pace.steps)
    assert all(length % block == 0 for length in lengths)
    assert lengths[0] == lengths[1] == block  # the first one was compiled
    assert max(b / a for a, b in itertools.pairwise(lengths)) == 2
    assert 0.01 * lengths[11] == pytest.approx(2, rel=0.05)
    assert 0.5 * lengths[-1] == pytest.approx(2)


class Thirds:
    """A pace of three steps, whatever the clock says."""

    steps = 3


def test_slow_steps_change_no_bit_of_what_is_reported():
    every = {"eval_every": 5, "checkpoint_every": 5}
    whole = train(spans(0, STEPS, 5, **every))
    parts = train(spans(0, STEPS, 5, **every, pace=Thirds()))
    assert [chunk.span.end for chunk in parts] == [3, 5, 8, 10]
    reported = [chunk for chunk in parts if chunk.span.reports]
    assert all(chunk.unreported is None for chunk in reported)
    for one, other in zip(whole, reported, strict=True):
        assert_same(one.means(), other.means())
        assert_same(one.state, other.state)


def test_sums_of_a_training_that_is_stopped_between_reports_go_on():
    whole = train(spans(0, STEPS, STEPS))[-1]
    (part,) = train(itertools.islice(spans(0, STEPS, STEPS, pace=Thirds()), 1))
    assert part.unreported.first == 0
    given = DATA_KEY, KEYS[:1], make_numbers(), part.unreported
    rest = spans(3, STEPS, STEPS)
    (chunk,) = train_chunks(RUN, BATCHES, part.state, rest, *given)
    assert chunk.first == 0
    assert_same(whole.means(), chunk.means())
    assert_same(whole.state, chunk.state)
