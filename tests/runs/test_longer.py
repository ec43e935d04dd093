"""A run that goes on after its end, begins with another's parameters, or ends early."""

import shutil

import jax
import numpy as np
import pytest

from tests.runs.test_single import same_outcome
from tests.runs_helpers import sigterm_after, small_config
from vae_jax import build
from vae_jax.errors import ConfigError
from vae_jax.runs import fit, grid, identity, members, opened, single, sweep
from vae_jax.storage.records import read_json, read_metrics, write_json
from vae_jax.training.loop import Chunk

# Two evaluations before the last step, at 20 and 40.
LONG = {"train.num_steps": 60}


def same_parameters(one, other):
    """Whether two runs hold the same numbers."""
    left, right = (jax.tree.leaves(opened.open_run(run).params) for run in (one, other))
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("straight")
    single.train(small_config(**LONG), workdir)
    return workdir


def test_a_finished_run_trained_further_equals_a_long_one(straight, tmp_path):
    first = single.train(small_config(), tmp_path)
    assert first["step"] == 40
    single.train(small_config(**LONG), tmp_path)
    same_outcome(straight, tmp_path)
    assert read_json(tmp_path / "results.previous.json") == first
    one, other = (read_metrics(run / "metrics.jsonl") for run in (straight, tmp_path))
    assert one == other


def test_a_grid_trained_further(tmp_path):
    sweep = ["hparams.kl_weight=1,2"]
    grid.train_grid(small_config(), tmp_path, sweep, 1)
    rows = grid.train_grid(small_config(**LONG), tmp_path, sweep, 1)
    assert [row["step"] for row in rows] == [60, 60]
    for row in rows:
        assert opened.open_run(members.folder(tmp_path, row["name"])).step == 60


def test_another_evaluation_of_a_finished_run(straight, tmp_path, monkeypatch):
    single.train(small_config(), tmp_path)
    monkeypatch.setattr(fit, "train_chunks", None)  # nothing is trained
    results = single.train(small_config(**{"eval.num_samples": 7}), tmp_path)
    assert results["nll_num_samples"] == 7
    assert read_json(tmp_path / "results.json") == results
    assert read_json(tmp_path / "results.previous.json")["nll_num_samples"] == 3


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_init_from_begins_with_the_parameters_of_the_other(
    straight, tmp_path, monkeypatch, ema_decay
):
    """They are what the first step sees, and the optimiser begins anew."""
    fields = {"train.init_from": str(straight), "optimizer.ema_decay": ema_decay}
    state = first_state(fields, tmp_path, monkeypatch)
    wanted = opened.open_run(straight).params
    for tree in (state.params.model, state.eval_params):
        jax.tree.map(np.testing.assert_array_equal, tree, wanted)
    assert int(state.step) == 0
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.opt_state))


def test_init_from_takes_over_what_the_model_keeps_beside_them(tmp_path, monkeypatch):
    fields = {"mlp.norm": "batch", "train.num_steps": 8}
    single.train(small_config(**fields), tmp_path / "other")
    fields["train.init_from"] = str(tmp_path / "other")
    state = first_state(fields, tmp_path / "run", monkeypatch)
    wanted = opened.open_run(tmp_path / "other").variables
    jax.tree.map(np.testing.assert_array_equal, state.eval_variables, wanted)
    averages = jax.tree.leaves(state.model_state)
    assert averages and not all(np.isin(leaf, (0, 1)).all() for leaf in averages)


def first_state(fields, workdir, monkeypatch):
    """The state that the first step of a run is given."""
    seen = []
    monkeypatch.setattr(
        fit,
        "train_chunks",
        lambda run, batches, states, *_, **rest: seen.append(states) or (),
    )
    with pytest.raises(ZeroDivisionError):  # no step was made
        single.train(small_config(**fields), workdir)
    (state,) = jax.tree.map(lambda leaf: leaf[0], seen)
    return state


def test_only_a_new_run_needs_the_run_it_begins_with(straight, tmp_path):
    other, workdir = tmp_path / "other", tmp_path / "run"
    shutil.copytree(straight, other)
    config = small_config(**{"train.init_from": str(other)})
    with sigterm_after(1):
        single.train(config, workdir)
    shutil.rmtree(other)
    assert single.train(config, workdir)["step"] == 40
    with pytest.raises(ConfigError, match="other: holds no run"):
        single.train(config, tmp_path / "new")


def test_a_program_that_has_begun_needs_no_run_to_begin_with(
    straight, tmp_path, monkeypatch
):
    """Of a grid whose other program is still to begin."""
    sweeps = [f"train.init_from={tmp_path / 'gone'},{straight}"]
    first, _ = sweep.members(small_config(), sweeps, 1)
    data = identity.describe(build.make_dataset(first.config))
    folder = members.folder(tmp_path / "grid", first.name)
    identity.claim(folder, first.config, data, identity.Standing(is_new=True))
    write_json(folder / "results.json", {"elbo": -1.0})
    (tmp_path / "grid" / "programs" / "a" / "checkpoints" / "40").mkdir(parents=True)
    monkeypatch.setattr(
        grid,
        "_train_programs",
        lambda programs, known, is_whole: dict.fromkeys(known, {}),
    )
    assert len(grid.train_grid(small_config(), tmp_path / "grid", sweeps, 1)) == 2
    (folder / "results.json").unlink()
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match="gone: holds no run"):
        grid.train_grid(small_config(), tmp_path / "grid", sweeps, 1)


def test_init_from_another_model_is_refused(straight, tmp_path):
    fields = {"train.init_from": str(straight), "model.latent_dim": 4}
    with pytest.raises(ConfigError, match=r"init_from=.* the two runs need the same"):
        single.train(small_config(**fields), tmp_path)


@pytest.fixture
def validation(monkeypatch):
    """Makes the ELBO of the validation split what a test wants at each evaluation."""
    original = fit.summarize_split

    def pretend(elbos):
        wanted = iter(elbos)

        def summarize_split(*arguments, **options):
            return original(*arguments, **options) | {"elbo": next(wanted)}

        monkeypatch.setattr(fit, "summarize_split", summarize_split)

    return pretend


def test_the_best_parameters_are_kept(straight, tmp_path, validation):
    validation([-50.0, -60.0, -55.0])  # best at step 20
    results = single.train(small_config(**LONG, **{"train.keep_best": True}), tmp_path)
    assert (results["step"], results["trained_steps"]) == (20, 60)
    short = {"train.num_steps": 20, "train.eval_every": 0}
    single.train(small_config(**short), tmp_path / "short")
    assert same_parameters(tmp_path, tmp_path / "short")
    assert opened.open_run(tmp_path).step == 20


PATIENT = {
    "train.num_steps": 200,
    "train.eval_every": 10,
    "train.checkpoint_every": 10,
    "train.patience": 2,
}
ELBOS = [-60.0, -50.0, -51.0, -50.5, -1.0, -1.0]  # best at 20; 40 ends it


def test_patience_ends_training_and_a_resumed_run_ends_alike(tmp_path, validation):
    validation(ELBOS)
    results = single.train(small_config(**PATIENT), tmp_path / "straight")
    assert results["step"] == 20
    assert results["trained_steps"] == 40
    for stop in (1, 2, 3):
        workdir = tmp_path / f"stopped{stop}"
        validation(ELBOS)
        with sigterm_after(stop):
            single.train(small_config(**PATIENT), workdir)
        validation([])  # a stop before any further step evaluates nothing again
        with sigterm_after(0):
            single.train(small_config(**PATIENT), workdir)
        validation(ELBOS[stop:])
        again = single.train(small_config(**PATIENT), workdir)
        assert again["trained_steps"] == 40
        same_outcome(tmp_path / "straight", workdir)
        assert opened.open_run(workdir).step == 20


def test_members_stop_each_on_its_own(tmp_path, validation):
    """Of a program, each keeps its own best; it ends with the last of them."""
    weights = ["hparams.kl_weight=1,2"]
    # Two members at each evaluation, until the first has stopped: it is best at 20, the
    # second at 40.
    validation([-60.0, -9.0, -50.0, -8.0, -51.0, -7.0, -52.0, -6.0, -7.0, -7.0])
    rows = grid.train_grid(small_config(**PATIENT), tmp_path, weights, 1, mode="exact")
    assert [row["step"] for row in rows] == [20, 40]
    ended = (40, 60)  # what each would have trained on its own
    assert [row["trained_steps"] for row in rows] == list(ended)
    for row, step in zip(rows, ended, strict=True):
        folder = members.folder(tmp_path, row["name"])
        lines = read_metrics(folder / "metrics.jsonl")
        assert max(line["step"] for line in lines) == step
    for row, steps in zip(rows, (20, 40), strict=True):
        alone = small_config(
            **{"hparams.kl_weight": row["hparams.kl_weight"]},
            **{"train.num_steps": steps, "train.eval_every": 0},
        )
        workdir = tmp_path / f"alone{steps}"
        single.train(alone, workdir)
        assert same_parameters(workdir, members.folder(tmp_path, row["name"]))


def test_a_member_that_has_stopped_cannot_fail(tmp_path, validation, monkeypatch):
    """Its loss may become NaN while the others train on."""
    weights = ["hparams.kl_weight=1,2"]
    validation([-50.0, -9.0, -51.0, -8.0, -52.0, -7.0, -6.0, -5.0, -9.0, -9.0])

    def first_bad(chunk):  # of the first member, after it has stopped at step 30
        return np.array([chunk.span.end if chunk.span.end > 30 else -1, -1])

    monkeypatch.setattr(Chunk, "first_bad_steps", first_bad)
    rows = grid.train_grid(small_config(**PATIENT), tmp_path, weights, 1, mode="exact")
    assert all("failed_at_step" not in row for row in rows)
    assert [row["step"] for row in rows] == [10, 50]
    assert [row["trained_steps"] for row in rows] == [30, 70]


def test_an_end_that_was_evaluated_out_of_turn_is_final(tmp_path):
    own = {"train.eval_every": 10, "train.keep_best": True}
    single.train(small_config(**own, **{"train.num_steps": 12}), tmp_path)
    with pytest.raises(ConfigError, match="at its end, 12, which is no multiple of"):
        single.train(small_config(**own, **{"train.num_steps": 20}), tmp_path)
    free = {"train.eval_every": 10, "train.num_steps": 12}
    single.train(small_config(**free), tmp_path / "free")
    single.train(small_config(**{**free, "train.num_steps": 14}), tmp_path / "free")


@pytest.mark.parametrize("field", [{"train.keep_best": True}, {"train.patience": 1}])
def test_the_best_needs_evaluations_and_a_density(tmp_path, field):
    with pytest.raises(ConfigError, match="set train.eval_every above 0"):
        single.train(small_config(**field, **{"train.eval_every": 0}), tmp_path)
    own = {"model.posterior": "deterministic"}
    with pytest.raises(ConfigError, match="ELBOs, but model.posterior=determ"):
        single.train(small_config(**field, **own), tmp_path)
