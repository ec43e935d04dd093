"""A folder of runs as a table: what differs, and how far each is."""

import json
import os
import pathlib
import socket

import pytest

from tests.forked_programs import run_program
from vae_jax.errors import ConfigError
from vae_jax.runs import listing
from vae_jax.storage.records import read_json, write_json

DEFAULT = {
    "seed": 0,
    "data.name": "digits",
    "data.dir": "",
    "hparams.kl_weight": 1.0,
    "mlp.hidden_dims": (256, 128),
}


def make_run(folder: pathlib.Path, results: dict | None = None, **fields) -> None:
    """A workdir as training leaves it; fields are given as `hparams__kl_weight=2`."""
    folder.mkdir(parents=True)
    flat = DEFAULT | {name.replace("__", "."): v for name, v in fields.items()}
    nested: dict = {}
    for field, value in flat.items():
        section, _, name = field.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    write_json(folder / "config.json", nested)
    if results is not None:
        write_json(folder / "results.json", results)


def lock(folder: pathlib.Path, pid: int, host: str) -> None:
    record = {"pid": pid, "host": host, "since": ""}
    (folder / ".lock").write_text(json.dumps(record))


@pytest.fixture
def runs(tmp_path) -> pathlib.Path:
    folder = tmp_path / "runs"
    done = {"step": 3000, "elbo": -23.531, "coverage": 0.96666, "nll": None}
    make_run(folder / "first", done)
    make_run(folder / "b" / "other", data__name="mnist", data__dir="/data", seed=3)
    (folder / "b" / "other" / "metrics.jsonl").write_text(
        '{"step": 100, "train/elbo": -1.0}\n{"step": 1200, "train/elbo": -1.0}\n'
    )
    grid = folder / "kl"
    values = {
        f"kl_weight={w:g}": {"hparams.kl_weight": w, "seed": 0} for w in (0.0, 1.0, 4.0)
    }
    for name, own in values.items():
        if own["hparams.kl_weight"] < 4:
            make_run(
                grid / "members" / name, hparams__kl_weight=own["hparams.kl_weight"]
            )
    write_json(grid / "grid.json", {"mode": "vmap", "members": values})
    return folder


def by_name(folder: pathlib.Path) -> dict[tuple[str, str], list[str]]:
    rows = listing.table(folder, DEFAULT)
    assert all(len(row) == len(listing.HEADS) for row in rows)
    return {(row[0], row[1]): row[2:] for row in rows}


def test_name_what_differs_state_step_elbo_and_coverage(runs):
    rows = by_name(runs)
    assert rows == {
        ("b/other", "seed=3 name=mnist"): ["stopped", "1,200", "–", "–"],
        ("first", ""): ["finished", "3,000", "−23.53", "0.967"],
        ("kl", "kl_weight=0"): ["stopped", "0", "–", "–"],
        ("kl", "kl_weight=1"): ["stopped", "0", "–", "–"],
        ("kl", "kl_weight=4"): ["not begun", "0", "–", "–"],
    }
    assert list(by_name(runs / "first")) == [("first", "")]


def test_a_program_that_runs_is_told_from_one_that_was_killed(runs):
    lock(runs / "kl", os.getpid(), socket.gethostname())
    lock(runs / "b" / "other", 2**22 + 1, socket.gethostname())  # beyond all ids
    states = {name: row[0] for name, row in by_name(runs).items()}
    assert states["kl", "kl_weight=0"] == states["kl", "kl_weight=1"] == "training"
    assert states["b/other", "seed=3 name=mnist"] == "stopped"
    (runs / "b" / "other" / ".lock").write_text("{")
    assert by_name(runs)["b/other", "seed=3 name=mnist"][0] == "stopped"


def test_members_that_failed_and_files_that_are_damaged(runs):
    (runs / "kl" / "results.csv").write_text(
        "name,elbo,failed_at_step\nkl_weight=0,,70\nkl_weight=1,-3,\n"
    )
    (runs / "first" / "results.json").write_text("{")
    rows = by_name(runs)
    assert rows["kl", "kl_weight=0"][:2] == ["failed", "70"]
    assert rows["kl", "kl_weight=1"][:2] == ["stopped", "0"]
    assert rows["first", ""][0] == "damaged"
    (runs / "kl" / "results.csv").write_text("name,failed_at_step\nkl_weight=0,x\n")
    rows = by_name(runs)
    assert rows["kl", ""][0] == "damaged" and len(rows) == 3
    (runs / "kl" / "grid.json").write_text("[]")
    assert by_name(runs)["kl", ""][0] == "damaged"


def test_the_program_prints_a_line_for_each_run(runs):
    write_json(runs / "first" / "config.json", {"data": {"name": "folder:" + "x" * 90}})
    status, out, err = run_program("list", runs, COLUMNS="80")
    assert (status, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.split() == "run what differs state step ELBO coverage".split()
    assert [line.split()[0] for line in lines] == ["b/other", "first", *["kl"] * 3]
    status, out, err = run_program("list")
    assert (status, out) == (1, "")
    assert err == "error: give a folder of runs, as in `list runs`\n"


def test_a_folder_without_runs(tmp_path):
    with pytest.raises(ConfigError, match="holds no run"):
        listing.table(tmp_path, DEFAULT)
    with pytest.raises(ConfigError, match="there is no folder"):
        listing.table(tmp_path / "none", DEFAULT)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file: is a file"):
        listing.table(tmp_path / "file", DEFAULT)


def test_a_run_that_may_not_be_read_is_listed(runs, monkeypatch):
    def read(path):
        if path == runs / "first" / "config.json":
            raise PermissionError(13, "Permission denied", str(path))
        return read_json(path)

    monkeypatch.setattr(listing, "read_json", read)
    assert by_name(runs)["first", ""][0] == "not readable"


def test_a_grid_that_may_not_be_read_is_listed(runs, monkeypatch):
    def failed(grid):
        raise PermissionError(13, "Permission denied", str(grid / "results.csv"))

    monkeypatch.setattr(listing.members, "failed", failed)
    rows = by_name(runs)
    assert rows["kl", ""][0] == "not readable" and len(rows) == 3
