"""Parts that live outside of the repository: every program works with all of them."""

import functools
import json
import os
import pathlib
import shutil
import tempfile

import numpy as np
import pytest

from tests.forked_programs import TIMEOUT_S, start_program
from tests.runs_helpers import REPOSITORY

FOLDER = REPOSITORY / "tests" / "extending"
IMPORT = "--import=my_parts"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of a user's own that holds the module and the config."""
    folder = tmp_path_factory.mktemp("mine")
    for file in FOLDER.glob("*.py"):
        shutil.copy(file, folder)
    return folder


def run(place, program, *flags, status=0):
    """A program that is started in that folder; its stdout and stderr."""
    with tempfile.TemporaryDirectory() as folder:
        there = functools.partial(os.chdir, place)
        child = start_program(folder, program, *flags, prepare=there)
        child.join(TIMEOUT_S)
        files = [pathlib.Path(folder, name) for name in ("out", "err")]
        text = "".join(file.read_text() for file in files)
    assert child.exitcode == status, text[-2000:]
    return text


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_parts_of_ones_own_train_sweep_resume_evaluate_sample_and_report(place):
    config = "--config=my_config.py"
    run(place, "train", IMPORT, config, "--workdir=one")
    results = results_of(place / "one")
    assert 0 < results["brightness"] < 1
    assert results["elbo"] is not None and results["nll"] is not None
    rows = [json.loads(line) for line in open(place / "one" / "metrics.jsonl")]
    assert "train/critic" in rows[0]

    # Without the flag a run says which one it needs, and no file imports anything.
    line = run(place, "sample", "--workdir=one", "--out=s.png", status=1)
    assert line.startswith("error: workdir=one: ")
    assert "add --import=my_parts" in line

    # In two parts it is the same training.
    part = "--config.train.num_steps=20"
    run(place, "train", IMPORT, config, part, "--workdir=parts")
    run(place, "train", IMPORT, config, "--workdir=parts")
    parts = results_of(place / "parts")
    for name in ("elbo", "nll", "brightness"):
        assert parts[name] == results[name]

    # A model with two layers and a state, its own number swept in one program.
    ladder = "--config.model.name=my_ladder"
    sweep = "--sweep=hparams.push=0,1"
    out = run(place, "ablate", IMPORT, config, ladder, sweep, "--workdir=grid")
    assert "2 members in 1 program" in out
    members = sorted((place / "grid" / "members").iterdir())
    assert len(members) == 2
    pushed = [results_of(member) for member in members]
    assert pushed[0]["elbo"] != pushed[1]["elbo"]
    assert all(r["nll"] is not None and r["brightness"] > 0 for r in pushed)

    for folder in ("one", f"grid/members/{members[0].name}"):
        out = f"--out={folder.replace('/', '_')}.npz"
        run(place, "evaluate", IMPORT, f"--workdir={folder}", "--num_samples=3")
        run(place, "sample", IMPORT, f"--workdir={folder}", "--num=4", "--out=s.png")
        run(place, "encode", IMPORT, f"--workdir={folder}", out)
    with np.load(place / "one.npz") as codes:
        assert any(codes[name].shape[-1] == 3 for name in codes.files)
    run(place, "report", IMPORT, "--workdirs=grid", "--out=report")
    page = (place / "report" / "report.html").read_text()
    assert "push" in page and "Brightness" in page


def test_a_module_that_is_not_there_is_one_line(place):
    line = run(place, "train", "--import=my_parts.py", "--workdir=x", status=1)
    assert "--import=my_parts.py: is a file: name the module, my_parts" in line
    line = run(place, "train", "--import=no_such_parts", "--workdir=x", status=1)
    assert line.splitlines()[-1].startswith(
        "error: --import=no_such_parts: ModuleNotFoundError: No module named"
    )
