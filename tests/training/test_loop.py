"""The loop: chunks that don't show in the result, and events in their order."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import linear_gaussian as lg
from vae_jax.data.batches import InMemoryBatches
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.training.functions import ModelFunctions
from vae_jax.training.loop import Pause, compile_chunk, train_loop
from vae_jax.training.state import make_hparams, scale_by_hparam
from vae_jax.training.step import vae_trainer

N, B, STEPS = 23, 4, 10
DATA_KEY, KEY = jax.random.key(1), jax.random.key(2)
HPARAMS = make_hparams(kl_weight=1.0, learning_rate=0.01)


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


def start():
    return TRAINER.init(KEY, IMAGES[:B])


def run(state, cuts, hparams=HPARAMS, key=KEY, batches=BATCHES, program=RUN):
    """The chunks of `cuts` steps each: the state, and what each chunk told."""
    told, step = [], 0
    for length in cuts:
        images, rows = batches(step, length, STEPS)
        numbers = np.int32(step), np.int32(length)
        state, *rest = program(state, images, rows, *numbers, DATA_KEY, key, hparams)
        told.append(rest)
        step += length
    return state, told


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_chunk_is_its_steps_in_turn():
    step = jax.jit(TRAINER.step)
    state, sums = start(), 0.0
    images, rows = BATCHES(0, STEPS, STEPS)
    for t in range(STEPS):
        x = preprocess(images[rows[t]], jax.random.fold_in(DATA_KEY, t))
        state, metrics = step(state, x, KEY, HPARAMS)
        sums += np.asarray([metrics[name] for name in sorted(metrics)])
    chunk, [(chunk_sums, first_bad)] = run(start(), [STEPS])
    assert first_bad == -1
    assert chunk.step == STEPS
    same = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(same, state, chunk)
    same([chunk_sums[name] for name in sorted(chunk_sums)], sums)


@pytest.mark.parametrize("cuts", [(3, 7), (1, 8, 1), (1,) * STEPS])
def test_cuts_do_not_change_a_bit(cuts):
    whole, _ = run(start(), [STEPS])
    parts, _ = run(start(), cuts)
    assert_same(whole, parts)


def test_one_program_for_all_lengths_starts_and_numbers():
    traces = []

    def step(*arguments):
        traces.append(1)
        return TRAINER.step(*arguments)

    program = compile_chunk(TRAINER._replace(step=step), preprocess)
    run(start(), [STEPS], program=program)
    known = len(traces)
    run(start(), [2, 3, 5], make_hparams(kl_weight=4, learning_rate=0), program=program)
    run(start(), [4], key=jax.random.key(9), program=program)
    assert len(traces) == known > 0


def test_state_is_donated():
    state = start()
    run(state, [1])
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_first_bad_step_is_found():
    _, rows = BATCHES(0, STEPS, STEPS)
    images = IMAGES.copy()
    bad = int(rows[6, 2])
    images[bad] = np.nan
    first = int((np.asarray(rows) == bad).any(axis=1).argmax())
    batches = InMemoryBatches(images, seed=3, batch_size=B)
    _, told = run(start(), [first, STEPS - first], batches=batches)
    assert [int(first_bad) for _, first_bad in told] == [-1, first]
    _, told = run(start(), [STEPS], batches=batches)
    assert int(told[0][1]) == first


@pytest.mark.parametrize("members", ["vmap", "exact"])
def test_members_are_single_runs(members):
    keys = jax.random.split(KEY, 3)
    weights = [0.0, 1.0, jnp.nan]
    hparams = make_hparams(kl_weight=weights, learning_rate=[0.01, 0.02, 0.01])
    states = jax.vmap(TRAINER.init, in_axes=(0, None))(keys, IMAGES[:B])
    program = compile_chunk(TRAINER, preprocess, members)
    many = run(states, [4, 6], hparams, keys, program=program)
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    if members == "exact":
        compare = np.testing.assert_array_equal
    for m in range(3):
        own = {name: value[m] for name, value in hparams.items()}
        alone = run(TRAINER.init(keys[m], IMAGES[:B]), [4, 6], own, keys[m])
        mine = jax.tree.map(lambda leaf, m=m: leaf[m], many)
        jax.tree.map(compare, mine, alone)
        assert [int(told[1]) for told in mine[1]] == ([0, 4] if m == 2 else [-1, -1])


def loop(state=None, **changes):
    """`train_loop` with settings to be changed: the result and the reports."""
    reports = []
    settings = {
        "start": 0,
        "num_steps": STEPS,
        "log_every": 4,
        "data_key": DATA_KEY,
        "key": KEY,
        "hparams": HPARAMS,
        "on_report": reports.append,
    }
    state = start() if state is None else state
    end = train_loop(RUN, BATCHES, state, **{**settings, **changes})
    return end, reports


def test_loop_goes_on_where_it_stopped():
    (step, straight), reports = loop()
    assert step == STEPS
    assert [report.step for report in reports] == [4, 8, 10]
    (middle, half), _ = loop(num_steps=5)
    assert middle == 5
    (step, resumed), reports = loop(half, start=5)
    assert [report.step for report in reports] == [8, 10]
    assert_same(straight, resumed)


def test_reports_hold_means_over_their_steps():
    _, single = loop(log_every=1)
    _, chunks = loop()
    for report, steps in zip(
        chunks, (range(4), range(4, 8), range(8, 10)), strict=True
    ):
        for name, value in report.metrics.items():
            mean = np.mean([single[t].metrics[name] for t in steps])
            np.testing.assert_allclose(value, mean, rtol=1e-5)
        assert report.first_bad_step == -1


def test_reports_and_pauses_come_while_the_next_chunk_runs():
    events = []

    def run(state, images, rows, start, length, *keys):
        events.append(f"run {start}+{length}")
        return state + length, {"loss": np.float32(length)}, np.int32(-1)

    end = train_loop(
        run,
        lambda start, length, padded: (None, None),
        0,
        start=0,
        num_steps=7,
        log_every=2,
        data_key=DATA_KEY,
        key=KEY,
        hparams=HPARAMS,
        on_report=lambda report: events.append(f"report {report.step}"),
        pauses=[
            Pause(3, lambda step, state: events.append(f"save {step} {state}")),
            Pause(0, lambda step, state: events.append(f"end {step} {state}")),
        ],
    )
    assert end == (7, 7)
    assert events == [
        *("run 0+2", "run 2+1", "report 2", "run 3+1", "report 3", "save 3 3"),
        *("run 4+2", "report 4", "run 6+1", "report 6", "save 6 6"),
        *("report 7", "save 7 7", "end 7 7"),
    ]


@pytest.mark.parametrize(
    ("num_steps", "max_chunk", "every", "longest"),
    [(7, None, 0, 7), (7, None, 3, 3), (7, 2, 3, 2), (10**9, 5, 0, 5)],
)
def test_rows_are_no_more_than_a_chunk_can_be(num_steps, max_chunk, every, longest):
    """With log_every=2**31 - 1, "never", a table of so many rows would be 1 TiB."""
    asked = []

    def batches(start, length, padded):
        asked.append((length, padded))
        return None, None

    train_loop(
        lambda state, *rest: (state, {"loss": np.float32(0)}, np.int32(-1)),
        batches,
        0,
        start=0,
        num_steps=num_steps,
        log_every=2**31 - 1,
        data_key=DATA_KEY,
        key=KEY,
        hparams=HPARAMS,
        on_report=lambda report: None,
        max_chunk=max_chunk,
        pauses=[Pause(every, lambda step, state: None)],
        should_stop=lambda: len(asked) == 3,
    )
    assert {padded for _, padded in asked} == {longest}
    assert max(length for length, _ in asked) == longest


def test_a_stop_saves_where_it_is():
    saved, asked = [], iter([False, False, True])
    (step, state), reports = loop(
        should_stop=lambda: next(asked),
        pauses=[Pause(0, lambda step, state: saved.append((step, int(state.step))))],
    )
    assert step == state.step == 8
    assert saved == [(8, 8)]
    assert [report.step for report in reports] == [4, 8]


def test_a_pause_sees_the_state_of_its_step():
    seen = []
    pauses = [Pause(5, lambda step, state: seen.append((step, state)))]
    (_, end), _ = loop(pauses=pauses)
    assert [step for step, _ in seen] == [5, 10]
    (_, half), _ = loop(num_steps=5)
    assert_same(seen[0][1], half)  # though the steps after it have been made
    assert_same(seen[1][1], end)


def test_a_stop_right_after_a_pause_pauses_once():
    saved, asked = [], iter([False, True])
    loop(
        should_stop=lambda: next(asked),
        pauses=[Pause(4, lambda step, state: saved.append(step))],
    )
    assert saved == [4]


def test_an_error_of_a_report_ends_the_loop_before_it_saves():
    saved = []

    def refuse(report):
        raise FloatingPointError(report.step)

    with pytest.raises(FloatingPointError, match="4"):
        loop(on_report=refuse, pauses=[Pause(4, lambda *now: saved.append(now))])
    assert saved == []
