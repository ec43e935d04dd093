"""Finished runs, read to be compared, and the program that does so."""

import json
import pathlib

import pytest

from configs import default
from tests.forked_programs import run_program
from tests.runs_helpers import small_config
from vae_jax.errors import ConfigError, DataError
from vae_jax.flat import flatten
from vae_jax.runs import finished
from vae_jax.storage.records import read_json, write_json

DEFAULT = flatten(default.get_config().to_dict())


def finished_run(folder, results=None, **fields):
    """A workdir as a run of that config leaves it, without the training."""
    folder.mkdir(parents=True)
    config = small_config(**fields).to_dict()
    write_json(folder / "config.json", config)
    results = {"step": 40, "elbo": -9.5, "rate": 1.5, "distortion": 8.0} | (
        results or {}
    )
    write_json(folder / "results.json", results)
    return folder


def test_fields_that_differ_are_swept(tmp_path):
    folders = [
        finished_run(tmp_path / "a", seed=0),
        finished_run(tmp_path / "b", seed=1, **{"hparams.kl_weight": 2.0}),
        finished_run(tmp_path / "c", **{"data.dir": "x", "train.log_every": 5}),
    ]
    runs = finished.read_finished(folders)
    assert runs.swept == ["hparams.kl_weight"]
    assert [row["hparams.kl_weight"] for row in runs.rows] == [1.0, 2.0, 1.0]
    assert [row["seed"] for row in runs.rows] == [0, 1, 0]
    assert [row["name"] for row in runs.rows] == ["a", "b", "c"]
    assert runs.rows[0]["elbo"] == -9.5
    assert runs.shared["model.latent_dim"] == 3
    for field in ("hparams.kl_weight", "seed", "data.dir"):
        assert field not in runs.shared


def test_what_was_measured_is_no_setting_and_evaluations_are_one_that_choose(tmp_path):
    folders = [
        finished_run(tmp_path / "a", **{"eval.measures": ("likelihood",)}),
        finished_run(tmp_path / "b", seed=1, **{"train.eval_every": 7}),
    ]
    assert finished.read_finished(folders).swept == []
    chosen = {"train.eval_every": 9, "train.keep_best": True}
    folders.append(finished_run(tmp_path / "c", seed=2, **chosen))
    swept = finished.read_finished(folders).swept
    assert swept == ["train.eval_every", "train.keep_best"]


def test_data_are_what_they_hold_and_not_where_they_lie(tmp_path):
    folders = []
    for number, (path, crc32) in enumerate((("x", 1), ("x", 2), ("moved/x", 1))):
        name = {"data.name": f"npz:/{path}.npz"}
        folders.append(finished_run(tmp_path / f"{number}", seed=number, **name))
        write_json(folders[-1] / "data.json", {"fingerprint": crc32})
    runs = finished.read_finished(folders)
    assert runs.swept == ["data.name"]
    first, other, moved = (row["data.name"] for row in runs.rows)
    assert first == moved == "npz:/x.npz" and other == "npz:/x.npz (checksum 2)"
    assert runs.configs[2]["data.name"] == "npz:/moved/x.npz"  # for its command
    assert finished.read_finished(folders[::2]).swept == []


def test_a_field_that_an_older_run_lacks(tmp_path):
    old = finished_run(tmp_path / "old")
    config = read_json(old / "config.json")
    del config["model"]["activation"]
    write_json(old / "config.json", config)
    runs = finished.read_finished([old, finished_run(tmp_path / "new")])
    assert runs.swept == ["model.activation"]
    assert [row["model.activation"] for row in runs.rows] == [None, "gelu"]


def test_a_run_has_a_row_for_each_prior_that_it_was_evaluated_with(tmp_path):
    run = finished_run(tmp_path / "a")
    write_json(run / "data.json", {"num_test": 9})
    (run / "evaluation").mkdir()
    step = read_json(run / "results.json")["step"]
    (run / "priors" / "gmm").mkdir(parents=True)
    fitted = {"step": step, "arrays_crc32": 5}
    write_json(run / "priors" / "gmm" / "prior.json", fitted)
    part = {"split": "test", "num_images": 9, "step": step}
    part |= {"prior": "gmm", "prior_crc32": 5}
    of_older = part | {"aggregate": 3.0}
    for name, numbers in {
        "test_likelihood_prior-gmm_k1": part | {"rate": 1.0, "distortion": 8.0},
        "test_regularity_prior-gmm": part | {"coverage": 0.5, "round_trip": None},
        "test_likelihood_prior-gmm_k1_n3": part | {"rate": 7.0, "num_images": 3},
        "test_aggregate_prior-gmm_k2": of_older | {"step": step - 1},
        "test_aggregate_prior-gmm_k3": of_older | {"prior_crc32": 4},
        "train_likelihood_prior-gmm_k1": part | {"rate": 7.0, "split": "train"},
        "test_likelihood_k1": {"split": "test", "num_images": 9, "rate": 7.0},
    }.items():
        write_json(run / "evaluation" / f"{name}.json", numbers)
    runs = finished.read_finished([run, finished_run(tmp_path / "b")])
    assert runs.swept == ["model.prior"]
    assert [row["name"] for row in runs.rows] == ["a", "a, gmm", "b"]
    with_it = runs.rows[1]
    assert with_it["model.prior"] == "gmm" and with_it["rate"] == 1.0
    assert with_it["coverage"] == 0.5 and "round_trip" not in with_it
    assert "aggregate" not in with_it and "prior_crc32" not in with_it
    assert runs.folders[1] == run / "priors" / "gmm"
    assert len(runs.workdirs) == len(runs.configs) == 2
    assert "model.prior" not in runs.shared


def test_the_same_run_twice_is_no_second_seed(tmp_path, caplog):
    folders = [finished_run(tmp_path / name) for name in ("a", "b")]
    folders.append(finished_run(tmp_path / "c", seed=1))
    assert len(finished.read_finished(folders).rows) == 3
    (line,) = [record.getMessage() for record in caplog.records]
    assert "b is the same run as" in line and "with the same seed" in line


def test_names_tell_the_runs_apart(tmp_path):
    folders = [finished_run(tmp_path / group / "run") for group in ("one", "two")]
    names = [row["name"] for row in finished.read_finished(folders).rows]
    assert names == ["one/run", "two/run"]


def test_a_grid_stands_for_its_members(tmp_path):
    names = ["kl_weight=4,seed=0", "kl_weight=4,seed=1"]
    for seed, name in enumerate(names):
        finished_run(tmp_path / "members" / name, seed=seed)
    grid = {"mode": "vmap", "members": dict.fromkeys(names, {})}
    write_json(tmp_path / "grid.json", grid)
    runs = finished.read_finished([tmp_path])
    assert [row["name"] for row in runs.rows] == names


def test_a_failed_member_of_a_grid_stands_in_a_report_only(tmp_path):
    names = ["kl_weight=4,seed=0", "kl_weight=4,seed=1"]
    for seed, name in enumerate(names):
        finished_run(tmp_path / "members" / name, seed=seed)
    (tmp_path / "members" / names[1] / "results.json").unlink()
    grid = {"mode": "vmap", "members": dict.fromkeys(names, {})}
    write_json(tmp_path / "grid.json", grid)
    with pytest.raises(ConfigError, match="isn't finished"):
        finished.read_finished([tmp_path])
    noted = f'name,failed_at_step\n"{names[0]}",3\n"{names[1]}",0\n'
    (tmp_path / "results.csv").write_text(noted)
    assert [row["name"] for row in finished.read_finished([tmp_path]).rows] == names[:1]
    good, bad = finished.read_finished([tmp_path], with_failed=True).rows
    assert "failed_at_step" not in good, "it has finished since"
    assert bad["failed_at_step"] == 0 and "elbo" not in bad
    (tmp_path / "members" / names[0] / "results.json").unlink()
    with pytest.raises(ConfigError, match="no loss of any member was finite"):
        finished.read_finished([tmp_path])


def test_a_pattern_stands_for_the_folders_that_match(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    found = finished.split_workdirs(f"{tmp_path}/*,{tmp_path}/none*")
    assert found == [tmp_path / "a", tmp_path / "b", tmp_path / "none*"]


def test_commas_in_the_names_of_folders(tmp_path):
    names = ["kl_weight=4,seed=0", "plain", "missing"]
    for name in names[:2]:
        (tmp_path / name).mkdir()
    paths = [tmp_path / name for name in names]
    assert finished.split_workdirs(",".join(map(str, paths))) == paths


def test_commas_within_a_pattern_and_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ["kl_weight=4,seed=0", "kl_weight=4,seed=1", "kl_weight=1,seed=0"]
    for name in names:
        (tmp_path / name).mkdir()
    found = finished.split_workdirs("~/kl_weight=4,seed=*,~/kl_weight=1,seed=0")
    assert found == [tmp_path / name for name in names]


def test_the_command_imports_parts_of_ones_own():
    own = DEFAULT | {"imports": ["my_parts", "others"], "seed": 3}
    command = finished.train_command(own, DEFAULT, pathlib.Path("run"))
    wanted = "--workdir=run --import=my_parts --import=others --config.seed=3"
    assert command.endswith(wanted)


def test_the_command_gives_the_config_back(tmp_path):
    config = flatten(json.loads(json.dumps(small_config().to_dict())))
    command = finished.train_command(config, DEFAULT, pathlib.Path("runs/a b"))
    assert command.startswith(
        "python -m vae_jax train --config=configs/default.py '--workdir=runs/a b'"
    )
    assert "'--config.mlp.hidden_dims=(16,)'" in command
    assert "--config.model.latent_dim=3" in command
    assert "learning_rate" not in command  # the default


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "holds no run (there is no config.json)"),
        ("results.json", "isn't finished (there is no results.json)"),
    ],
)
def test_what_is_no_finished_run_is_refused(tmp_path, missing, message):
    folder = finished_run(tmp_path / "a")
    (folder / missing).unlink()
    with pytest.raises(ConfigError) as error:
        finished.read_finished([folder])
    assert str(error.value) == f"{folder} {message}"


def test_the_same_folder_twice_is_refused(tmp_path):
    folder = finished_run(tmp_path / "a")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ConfigError, match="a is given 2 times"):
        finished.read_finished([folder, tmp_path / "link"])


def test_damaged_results_are_named(tmp_path):
    folder = finished_run(tmp_path / "a")
    (folder / "results.json").write_text("{")
    with pytest.raises(DataError, match="results.json is damaged"):
        finished.read_finished([folder])


@pytest.mark.parametrize("missing", ["prior", "split", "num_images", "step"])
def test_an_evaluation_that_lacks_an_entry_is_named(tmp_path, missing):
    run = finished_run(tmp_path / "a")
    write_json(run / "data.json", {"num_test": 9})
    (run / "evaluation").mkdir()
    content = {"prior": "gmm", "prior_crc32": 5, "split": "test", "num_images": 9}
    content = {**content, "step": 40}
    del content[missing]
    write_json(run / "evaluation" / "test_x_prior-gmm.json", content)
    with pytest.raises(DataError, match=f"test_x_prior-gmm.json .*'{missing}'"):
        finished.read_finished([run])


@pytest.mark.parametrize(
    "content",
    [
        b"name,failed_at_step\na,70.0\n",
        b"names,failed_at_step\na,70\n",
        "name,failed_at_step\n\u00e4,70\n".encode("latin-1"),
        "name,failed_at_step\na,70\n".encode("utf-16"),
        b"name,failed_at_step\na," + b"7" * 200_000 + b"\n",
    ],
)
def test_a_damaged_report_of_a_grid_is_named(tmp_path, content):
    finished_run(tmp_path / "members" / "b")
    write_json(tmp_path / "grid.json", {"mode": "vmap", "members": {"b": {}}})
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(DataError, match="results.csv is damaged: ") as caught:
        finished.read_finished([tmp_path])
    assert "\n" not in str(caught.value)


def test_the_program_writes_a_report(tmp_path):
    finished_run(tmp_path / "a")
    finished_run(tmp_path / "b", {"elbo": -11.0}, **{"hparams.kl_weight": 2.0})
    workdirs = f"--workdirs={tmp_path / 'a'},{tmp_path / 'b'}"
    status, out, err = run_program("report", workdirs, f"--out={tmp_path / 'out'}")
    assert status == 0, err
    path = tmp_path / "out" / "report.html"
    assert out.endswith(f"\nreport: {path}\n")
    text = path.read_text(encoding="utf-8")
    assert "--config.hparams.kl_weight=2.0" in text
    assert (tmp_path / "out" / "figures" / "elbo.svg").is_file()


def test_the_program_answers_mistakes_with_one_line(tmp_path):
    folder = finished_run(tmp_path / "a")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "grid").mkdir()
    write_json(tmp_path / "grid" / "grid.json", {"mode": "vmap", "members": {}})
    (tmp_path / "grid" / "results.csv").write_text("mine")
    cases = [
        ([], "--workdirs is missing"),
        ([f"--workdirs={folder}"], "--out is missing"),
        ([f"--workdirs={folder}", f"--out={tmp_path / 'file'}"], "is a file"),
        (
            [f"--workdirs={folder}", f"--out={tmp_path / 'file' / 'x'}"],
            "can't be written",
        ),
        ([f"--workdirs={folder}", f"--out={folder}"], "holds a run"),
        ([f"--workdirs={folder}", f"--out={tmp_path / 'grid'}"], "holds a grid"),
        ([f"--workdirs={folder},{folder}", "--out=x"], "is given 2 times"),
        ([f"--workdirs={tmp_path / 'none'}", "--out=x"], "holds no run"),
    ]
    for arguments, message in cases:
        status, out, err = run_program("report", *arguments)
        assert (status, out) == (1, ""), arguments
        *log, line = err.splitlines()
        assert line.startswith("error: ") and message in line
        assert [one for one in log if "drawing the report" not in one] == []
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "grid" / "results.csv").read_text() == "mine"
