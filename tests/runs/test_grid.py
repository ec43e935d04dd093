"""A grid of members against the same runs one by one."""

import pathlib
import shutil

import jax
import numpy as np
import pytest

from tests.forked_programs import run_program
from tests.runs.test_single import TIMES, same_outcome
from tests.runs_helpers import devices, flags, sigterm_after, small_config
from vae_jax import build
from vae_jax.errors import ConfigError, NonFiniteLossError
from vae_jax.runs import grid, members, opened, single, tracking
from vae_jax.storage.records import read_json, read_metrics, write_json
from vae_jax.training import step

SWEEP = ["hparams.kl_weight=0.5,2"]
NAMES = [f"kl_weight={w},seed={s}" for w in ("0.5", "2") for s in (0, 1)]


@pytest.fixture(scope="module")
def singles(tmp_path_factory):
    """The four runs, each on its own."""
    folder = tmp_path_factory.mktemp("singles")
    for weight in (0.5, 2.0):
        for seed in (0, 1):
            config = small_config(**{"hparams.kl_weight": weight, "seed": seed})
            single.train(config, folder / f"kl_weight={weight:g},seed={seed}")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same four as one program, and its rows and number of traces."""
    folder = tmp_path_factory.mktemp("grid")
    traces = []
    original = step.draw_samples
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "draw_samples", lambda *a: traces.append(1) or original(*a))
        rows = grid.train_grid(small_config(), folder, SWEEP, 2)
    return folder, rows, len(traces)


def test_members_equal_single_runs_in_their_losses(singles, trained):
    folder, rows, _ = trained
    assert [row["name"] for row in rows] == NAMES
    for name in NAMES:
        ours, theirs = (
            [r["train/loss"] for r in read_metrics(path) if "train/loss" in r]
            for path in (
                members.folder(folder, name) / "metrics.jsonl",
                singles / name / "metrics.jsonl",
            )
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_exact_mode_is_bitwise_equal(singles, tmp_path):
    grid.train_grid(small_config(), tmp_path, SWEEP, 2, mode="exact")
    for name in NAMES:
        same_outcome(singles / name, members.folder(tmp_path, name))


def test_one_program_for_the_group(trained, tmp_path):
    # Traced once to learn the shapes of the metrics and once to compile, however many
    # members, weights and seeds there are.
    _, _, traces = trained
    calls = []
    original = step.draw_samples
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "draw_samples", lambda *a: calls.append(1) or original(*a))
        single.train(small_config(), tmp_path)
    assert traces == len(calls)


def test_members_are_ordinary_runs(trained):
    folder, rows, _ = trained
    for row in rows:
        run = opened.open_run(members.folder(folder, row["name"]))
        assert run.config.hparams.kl_weight == row["hparams.kl_weight"]
        assert run.step == 40
        drawn = run.draws(jax.random.key(0), 2)
        assert drawn["mean"].shape == (2, 8, 8, 1)


def test_a_member_is_one_however_its_path_is_written(tmp_path, monkeypatch):
    (tmp_path / "members" / "a").mkdir(parents=True)
    write_json(tmp_path / "grid.json", {})
    config = small_config()
    for place, paths in {
        ".": ["members/a", "members/../members/a"],
        "members": ["a", "./a", "../members/a"],
        "members/a": [".", "../a"],
    }.items():
        monkeypatch.chdir(tmp_path / place)
        for path in map(pathlib.Path, paths):
            found = members.grid_of(path)
            assert found is not None and found.samefile(tmp_path), path
            about = tracking.about(config, path, 0)
            assert (about.name, about.group) == ("a", tmp_path.name), path
    assert members.grid_of(tmp_path) is None


def test_the_title_of_a_report_is_the_name_of_the_folder(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "named")
    status, _, err = run_program(
        "ablate",
        "--config=configs/default.py",
        f"--workdir={tmp_path}/named/members/..",
        *flags(),
        *(f"--sweep={sweep}" for sweep in SWEEP),
        "--seeds=2",
    )
    assert status == 0, err
    text = (tmp_path / "named" / "report.html").read_text("utf-8")
    assert "<title>named</title>" in text


def test_config_of_another_version_is_refused(trained, tmp_path):
    folder, rows, _ = trained
    member = members.folder(folder, rows[0]["name"])
    shutil.copytree(member, tmp_path / "run")
    config = read_json(tmp_path / "run" / "config.json")
    del config["model"]["latent_dim"]
    write_json(tmp_path / "run" / "config.json", config)
    with pytest.raises(ConfigError, match="no field.*latent_dim"):
        opened.open_run(tmp_path / "run")


def test_finished_grid_only_reads(trained, monkeypatch):
    folder, rows, _ = trained
    monkeypatch.setattr(build, "make_dataset", None)  # nor does it load the images
    again = grid.train_grid(small_config(), folder, SWEEP, 2)
    assert again == rows


def test_resumes_in_the_middle(trained, tmp_path):
    folder, rows, _ = trained
    with sigterm_after(2):
        grid.train_grid(small_config(), tmp_path, SWEEP, 2)
    grid.train_grid(small_config(), tmp_path, SWEEP, 2)
    for name in NAMES:
        same_outcome(members.folder(folder, name), members.folder(tmp_path, name))


def test_nan_member_is_marked_and_the_others_go_on(singles, tmp_path):
    """Also where it is the only member of its program."""
    config = small_config()
    single.train(config, tmp_path / "alone")
    steps = []
    for size, workdir in ((2, tmp_path / "together"), (1, tmp_path / "apart")):
        rows = grid.train_grid(
            config,
            workdir,
            ["hparams.learning_rate=1e30,0.001"],
            1,
            mode="exact",
            members_per_program=size,
        )
        assert rows[1]["elbo"] < 0
        steps.append(rows[0]["failed_at_step"])
        same_outcome(tmp_path / "alone", members.folder(workdir, rows[1]["name"]))
    assert 0 < steps[0] < 40 and steps[0] == steps[1]
    with pytest.raises(NonFiniteLossError):
        grid.train_grid(config, tmp_path / "all", ["hparams.learning_rate=1e30"], 1)


@pytest.mark.slow
def test_fields_of_shape_and_memory_split_programs(tmp_path):
    sweeps = ["model.latent_dim=2,3", "hparams.kl_weight=1,2"]
    rows = grid.train_grid(small_config(), tmp_path, sweeps, 1, members_per_program=1)
    assert len(rows) == 4
    assert len(list((tmp_path / "programs").iterdir())) == 4
    sizes = {row["model.latent_dim"]: row["num_parameters"] for row in rows}
    assert sizes[2] < sizes[3]


@pytest.mark.slow
def test_a_grid_of_cases_resumes_and_has_every_field_in_its_rows(tmp_path):
    """Also an objective with parameters and an optimiser of its own."""
    critic = {"factor.hidden_dim": 4, "factor.num_hidden": 1}
    config = small_config(**critic)
    cases = [
        "objective.name=factor hparams.tc_weight=2",
        "objective.name=factor hparams.tc_weight=20",
    ]
    with sigterm_after(2):
        grid.train_grid(config, tmp_path / "cut", [], 1, cases=cases)
    rows = grid.train_grid(config, tmp_path / "cut", [], 1, cases=cases)
    grid.train_grid(config, tmp_path / "whole", [], 1, cases=cases)
    assert [row["name"] for row in rows] == [
        f"name=factor,tc_weight={weight},seed=0" for weight in (2, 20)
    ]
    assert [row["hparams.tc_weight"] for row in rows] == [2.0, 20.0]
    for row in rows:
        same_outcome(
            *(members.folder(tmp_path / n, row["name"]) for n in ("cut", "whole"))
        )


def test_another_grid_is_refused(trained):
    folder, _, _ = trained
    before = (folder / "grid.json").read_bytes()
    with pytest.raises(ConfigError, match="another grid of 4 members"):
        grid.train_grid(small_config(), folder, ["hparams.kl_weight=0.5,3"], 2)
    assert (folder / "grid.json").read_bytes() == before
    assert TIMES


@pytest.mark.slow
def test_members_are_spread_over_devices(trained, tmp_path):
    """Two simulated devices, in a process of their own, and hardly another result."""
    _, rows, _ = trained
    status, _, err = run_program(
        "ablate",
        "--config=configs/default.py",
        f"--workdir={tmp_path}",
        *flags(),
        *(f"--sweep={sweep}" for sweep in SWEEP),
        "--seeds=2",
        XLA_FLAGS=devices(2),
    )
    assert status == 0, err
    assert "4 members on member=2 of 2" in err
    for row in rows:
        results = read_json(members.folder(tmp_path, row["name"]) / "results.json")
        for key in ("elbo", "rate", "distortion"):
            np.testing.assert_allclose(results[key], row[key], rtol=1e-4)
