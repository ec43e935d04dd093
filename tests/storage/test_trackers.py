"""Trackers by themselves: TensorBoard, and what happens where one fails."""

import logging
import re

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from tests.runs_helpers import small_config
from vae_jax import build
from vae_jax.errors import ConfigError, DataError, StorageError
from vae_jax.storage import trackers
from vae_jax.storage.records import write_json
from vae_jax.storage.trackers.base import About, Kind
from vae_jax.storage.trackers.several import Trackers
from vae_jax.storage.trackers.tensorboard import TensorBoard

PICTURE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
FIELDS = {"hparams.kl_weight": 4.0, "model.name": "vae", "mlp.hidden_dims": (16, 8)}


def about(workdir, start_step=0, **others):
    return About(workdir, "a run", start_step=start_step, **others)


def found_by_tensorboard(workdir):
    """What the real TensorBoard finds."""
    accumulator = EventAccumulator(str(workdir / "tensorboard"))
    accumulator.Reload()
    return accumulator


def test_tensorboard_finds_numbers_pictures_histograms_and_fields(tmp_path):
    tracker = TensorBoard(about(tmp_path, fields=FIELDS))
    tracker.scalars(10, {"train/elbo": -1.5, "train/rate": float("nan")})
    tracker.images(20, {"eval/samples": PICTURE})
    tracker.histograms(20, {"eval/rate": np.array([1.0, 2.0, 2.0, 9.0])})
    tracker.finish(succeeded=True)
    found = found_by_tensorboard(tmp_path)
    assert [(e.step, e.value) for e in found.Scalars("train/elbo")] == [(10, -1.5)]
    assert np.isnan(found.Scalars("train/rate")[0].value)
    (picture,) = found.Images("eval/samples")
    assert (picture.step, picture.height, picture.width) == (20, 4, 5)
    (histogram,) = found.Histograms("eval/rate")
    values = histogram.histogram_value
    assert (values.num, values.min, values.max, values.sum) == (4, 1, 9, 14)

    def hparams(tag, parse):
        return parse(found.SummaryMetadata(tag).plugin_data.content)

    start = hparams(
        metadata.SESSION_START_INFO_TAG, metadata.parse_session_start_info_plugin_data
    )
    assert start.hparams["hparams.kl_weight"].number_value == 4.0
    assert start.hparams["mlp.hidden_dims"].string_value == "(16, 8)"
    # TensorBoard's own columns begin with the fields in which runs differ.
    with pytest.raises(KeyError):
        found.SummaryMetadata(metadata.EXPERIMENT_TAG)
    hparams(metadata.SESSION_END_INFO_TAG, metadata.parse_session_end_info_plugin_data)


def test_a_resumed_run_hides_the_later_steps_of_tensorboard(tmp_path):
    for start_step, sign in ((0, 1), (20, -1)):
        tracker = TensorBoard(about(tmp_path, start_step))
        for step in range(start_step + 10, 41, 10):
            tracker.scalars(step, {"a": sign * step})
        tracker.finish(succeeded=False)
    events = found_by_tensorboard(tmp_path).Scalars("a")
    assert [e.value for e in events] == [10, 20, -30, -40]
    tracker = TensorBoard(about(tmp_path))
    tracker.scalars(10, {"a": 5})
    tracker.finish(succeeded=True)
    assert [e.value for e in found_by_tensorboard(tmp_path).Scalars("a")] == [5]


class Notes:
    """A tracker that notes its calls and fails where it is told to."""

    def __init__(self, failing=""):
        self.calls, self._failing = [], failing

    def __getattr__(self, name):
        def call(*arguments, **options):
            self.calls.append(name)
            if name == self._failing:
                raise RuntimeError("no room\non the server")

        return call


def kinds(**each):
    return {n: Kind(lambda _, t=t: t, "json", "extra") for n, t in each.items()}


def test_a_tracker_that_fails_is_left_out_with_one_warning(tmp_path, caplog):
    good, bad = Notes(), Notes(failing="scalars")
    several = Trackers(kinds(bad=bad, good=good), about(tmp_path))
    with caplog.at_level(logging.WARNING, logger="absl"):
        for step in (1, 2):
            several.scalars(step, {"a": 1.0})
        several.finish(succeeded=True)
        several.finish(succeeded=True)
    assert good.calls == ["scalars", "scalars", "finish"]
    assert bad.calls == ["scalars"]
    (line,) = caplog.messages
    assert re.search(r"the tracker bad failed .*RuntimeError: no room\\non", line)
    assert not several


def test_a_tracker_that_can_not_start_is_an_error_that_ends_the_others(tmp_path):
    def refuse(_):
        raise RuntimeError("not logged in")

    good = Notes()
    chosen = kinds(good=good) | {"bad": Kind(refuse, "json", "extra")}
    with pytest.raises(StorageError, match=r"bad can't start .*not logged in") as found:
        Trackers(chosen, about(tmp_path))
    assert str(found.value).endswith("--config.train.trackers=good")
    assert good.calls == ["finish"]


def test_values_that_are_not_finite_are_no_part_of_a_histogram(tmp_path):
    seen = {}
    notes = Notes()
    notes.histograms = lambda step, values: seen.update(values)
    several = Trackers(kinds(notes=notes), about(tmp_path))
    nothing = np.array([np.nan])
    several.histograms(1, {"a": np.array([1.0, np.inf, 2.0]), "b": nothing})
    assert seen.keys() == {"a"} and seen["a"].tolist() == [1.0, 2.0]


def test_a_run_keeps_its_id_until_it_begins_anew(tmp_path):
    first = about(tmp_path).run_id
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert about(tmp_path, 10).run_id == first
    second = about(tmp_path).run_id
    assert second != first
    assert about(tmp_path, 10).run_id == second
    write_json(tmp_path / "tracking.json", {"id": 1})
    with pytest.raises(DataError, match=r"tracking\.json holds no run_id"):
        _ = about(tmp_path, 10).run_id


def test_trackers_are_chosen_by_name():
    chosen = trackers.selected(["mlflow, tensorboard", "mlflow"])
    assert list(chosen) == ["tensorboard", "mlflow"]
    assert trackers.selected(()) == trackers.selected([""]) == {}
    config = small_config(**{"train.trackers": ("wandbb",)})
    with pytest.raises(ConfigError, match=r"train\.trackers='wandbb'.* 'wandb'\?"):
        build.check(config)


def test_a_package_that_is_absent_is_named(monkeypatch):
    absent = Kind(Notes, "no_such_package", "extra")
    monkeypatch.setitem(trackers.BY_NAME, "absent", absent)
    with pytest.raises(ConfigError) as found:
        trackers.check_installed(["tensorboard", "absent"])
    line = "train.trackers: absent needs the package no_such_package: pip install"
    assert str(found.value) == f"{line} 'vae_jax[extra]'"
