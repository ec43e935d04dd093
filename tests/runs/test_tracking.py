"""What trackers are told of runs: of a single one, a resumed one, members of a grid."""

import dataclasses
import logging

import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.battery import FAST_COMPILE
from tests.runs_helpers import sigterm_after, small_config
from vae_jax.runs import grid, pictures, program, single
from vae_jax.runs.tracking import fields_in_use
from vae_jax.storage import trackers
from vae_jax.storage.records import read_metrics
from vae_jax.storage.trackers.base import About, Kind
from vae_jax.trained import Trained


@dataclasses.dataclass
class Notes:
    """A tracker that keeps what it is told; `fails_at` is a step that it can't take."""

    about: About
    fails_at: int | None = None
    rows: list = dataclasses.field(default_factory=list)
    succeeded: bool | None = None

    def scalars(self, step, values):
        if step == self.fails_at:
            raise OSError("the server is away")
        self.rows.append({"step": step, **values})

    def finish(self, succeeded):
        self.succeeded = succeeded

    def __getattr__(self, name):
        return lambda *arguments: None


@pytest.fixture
def noted(monkeypatch):
    """A list of the trackers "notes" that have started; its name is in the table."""
    begun = []

    def start(about, **options):
        begun.append(Notes(about, **options))
        return begun[-1]

    monkeypatch.setitem(trackers.BY_NAME, "notes", Kind(start, "json", ""))
    failing = Kind(lambda about: start(about, fails_at=20), "json", "")
    monkeypatch.setitem(trackers.BY_NAME, "failing", failing)
    return begun


def config_with(*names, **fields):
    return small_config(**{"train.trackers": names}, **fields)


def test_tensorboard_has_pictures_and_spreads_at_each_evaluation(tmp_path):
    config = small_config()
    assert config.train.trackers == ("tensorboard",)
    results = single.train(config, tmp_path)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("eval/reconstructions", "eval/samples"):
        events = found.Images(name)
        assert [event.step for event in events] == [20, 40]
        # Two rows of eight, with lines between them.
        assert {(event.height, event.width) for event in events} == {(17, 71)}
        first, last = (event.encoded_image_string for event in events)
        assert first != last
    spread = found.Histograms("eval/rate_per_image")[-1]
    eval_rate = found.Scalars("eval/rate")[-1]
    values = spread.histogram_value
    assert values.sum / values.num == pytest.approx(eval_rate.value, rel=1e-4)
    spread = found.Histograms("eval/rate_per_dimension")[-1]
    assert spread.histogram_value.num == config.model.latent_dim
    assert spread.histogram_value.sum == pytest.approx(eval_rate.value, rel=1e-4)
    (elbo,) = found.Scalars("test/elbo")
    assert (elbo.step, elbo.value) == (40, pytest.approx(results["elbo"]))


def test_a_resumed_run_goes_on_in_the_same_run_of_its_tracker(tmp_path, noted):
    config = config_with("notes")
    with sigterm_after(3):
        single.train(config, tmp_path)
    (first,) = noted
    first_id = first.about.run_id
    assert (first.about.start_step, first.succeeded) == (0, False)
    results = single.train(config, tmp_path)
    (_, second) = noted
    assert (second.about.start_step, second.succeeded) == (30, True)
    assert second.about.run_id == first_id
    # Together they have the lines of metrics.jsonl, and the results after them.
    lines = first.rows + second.rows
    assert lines[:-1] == read_metrics(tmp_path / "metrics.jsonl")
    assert lines[-1]["test/elbo"] == results["elbo"]
    single.train(config, tmp_path)
    assert len(noted) == 2  # there was nothing to do


def test_a_tracker_that_fails_changes_no_run(tmp_path, noted, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        found = single.train(config_with("failing", "notes"), tmp_path / "failing")
    usual = single.train(config_with(), tmp_path / "without")
    assert found["elbo"] == usual["elbo"]
    lines = [
        read_metrics(tmp_path / n / "metrics.jsonl") for n in ("failing", "without")
    ]
    assert lines[0] == lines[1]
    (line,) = [m for m in caplog.messages if "tracker" in m]
    assert "the tracker failing failed and is left out" in line
    by_name = {bool(notes.fails_at): notes for notes in noted}
    assert by_name[False].succeeded and by_name[True].succeeded is None
    assert not (tmp_path / "without" / "tensorboard").exists()


def test_pictures_that_can_not_be_drawn_change_no_run(tmp_path, monkeypatch, caplog):
    def draw(*arguments):
        raise ValueError("no picture of this")

    monkeypatch.setattr(pictures, "_shown", draw)
    with caplog.at_level(logging.WARNING, logger="absl"):
        results = single.train(small_config(), tmp_path)
    assert results["step"] == 40
    lines = [line for line in caplog.messages if "picture" in line]
    assert lines == ["no pictures during training: ValueError: no picture of this"]


def test_a_member_of_a_grid_is_a_run_of_its_group(tmp_path, noted):
    folder = tmp_path / "weights"
    sweeps = ["hparams.kl_weight=0,1"]
    rows = grid.train_grid(config_with("notes"), folder, sweeps, seeds=1)
    told = {notes.about.name: notes for notes in noted}
    assert list(told) == [row["name"] for row in rows]
    for row in rows:
        notes = told[row["name"]]
        assert notes.about.group == "weights" and notes.about.shared == folder
        assert notes.about.fields["hparams.kl_weight"] == row["hparams.kl_weight"]
        assert notes.rows[-1]["test/elbo"] == row["elbo"]
        assert notes.succeeded
    assert len({notes.about.run_id for notes in noted}) == 2


def test_the_fields_are_those_of_the_parts_in_use():
    fields = fields_in_use(small_config())
    assert fields["hparams.kl_weight"] == 1.0
    assert "mlp.hidden_dims" in fields and "conv.channels" not in fields
    assert "data.dir" not in fields and "eval.num_samples" not in fields


MODELS = {
    "autoencoder": {"model.posterior": "deterministic"},
    "conditional": {"model.condition": "label"},
    "ladder": {"model.name": "ladder"},
    "classes": {
        "model.name": "m2",
        "objective.name": "semi_supervised",
        "data.labelled_batch_size": 4,
        "data.num_labelled": 100,
    },
}


@pytest.mark.slow
def test_pictures_of_any_model():
    """Of its first parameters; the same at each call, with rows of eight images."""
    for name, fields in MODELS.items():
        config = small_config(**fields)
        prepared = program.prepare(config)
        split = prepared.data.heldout
        drawn = pictures.EvaluationPictures(prepared.data, split, jax.random.key(0))
        init = jax.jit(prepared.trainer.init, compiler_options=FAST_COMPILE)
        state = init(jax.random.key(1), split.x(np.arange(2)))
        trained = Trained.of(prepared.model, state.eval_variables)
        found, again = drawn(trained), drawn(trained)
        assert found.keys() == {"eval/reconstructions", "eval/samples"}, name
        for key, picture in found.items():
            assert picture.shape == (17, 71, 3) and picture.dtype == np.uint8, name
            assert np.array_equal(picture, again[key]), name
            assert picture.std() > 0, name
