"""The benchmark for a GPU: what a sitting keeps, and what the next one goes on with."""

import json
import pathlib
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest

from benchmarks.gpu import convolutions, data, programs
from benchmarks.gpu.sitting import UNFINISHED, Case, Part, Sitting
from tests.data.image_bytes import examples, same_rows
from vae_jax.data import prepare
from vae_jax.data.sources import load_dataset


def sit(out, cases, minutes=1.0, match=""):
    """One sitting with one part; the names of the cases that were measured."""
    asked = []

    def recorded(case):
        def measure(left):
            asked.append(case.name)
            return case.measure(left)

        return case._replace(measure=measure)

    part = Part("part", 1, lambda: map(recorded, cases))
    Sitting(out, minutes, match).run([part])
    return asked


def rows(out):
    return json.loads((out / "part.json").read_text())["rows"]


def test_the_next_sitting_measures_what_is_missing_failed_or_unfinished(tmp_path):
    def fail(left):
        raise RuntimeError("no memory")

    cases = [
        Case("good", lambda left: {"ms": 1.0}),
        Case("bad", fail),
        Case("long", lambda left: {UNFINISHED: True, "step": 5}),
    ]
    assert sit(tmp_path, cases) == ["good", "bad", "long"]
    assert rows(tmp_path)["bad"]["error"] == "RuntimeError: no memory"
    again = [case._replace(measure=lambda left: {"ms": 2.0}) for case in cases]
    assert sit(tmp_path, again) == ["bad", "long"]
    assert [row["ms"] for row in rows(tmp_path).values()] == [1.0, 2.0, 2.0]
    assert sit(tmp_path, again) == []


def test_without_time_nothing_is_begun(tmp_path):
    assert sit(tmp_path, [Case("a", lambda left: {})], minutes=0) == []


def test_what_needs_more_time_than_is_left_is_not_begun(tmp_path):
    cases = [Case("long", lambda left: {}, least=90.0), Case("short", lambda left: {})]
    assert sit(tmp_path, cases) == ["short"]
    assert sit(tmp_path, cases, minutes=2) == ["long"]


def test_only_cases_that_match(tmp_path):
    cases = [Case(name, lambda left: {}) for name in ("mlp 128", "conv 128")]
    assert sit(tmp_path, cases, match="conv") == ["conv 128"]


def test_a_part_leaves_its_time_to_those_after_it(tmp_path):
    lefts = []

    def case(name):
        return Case(name, lambda left: lefts.append(left) or {})

    parts = [Part(n, share, lambda n=n: [case(n)]) for n, share in (("a", 1), ("b", 3))]
    Sitting(tmp_path, 1.0).run(parts)
    assert lefts[0] == pytest.approx(15, abs=1)
    assert lefts[1] == pytest.approx(60, abs=1)


def run_until_saved(words, budget, output):
    """In the place of `run_for`: time is up when there is a checkpoint."""
    del budget
    [workdir] = [word.partition("=")[2] for word in words if "--workdir" in word]
    process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
    while process.poll() is None:
        if list(pathlib.Path(workdir).glob("checkpoints/*/meta/metadata")):
            process.terminate()
            break
        time.sleep(0.05)
    return process.wait()


@pytest.mark.slow
def test_a_training_goes_on_in_the_next_sitting(tmp_path, monkeypatch):
    """Stopped by its time, it is packed; with more time it ends, and is measured."""
    steps = 20_000
    train = programs.experiment(
        "train",
        "--config=configs/digits.py",
        "--config.mlp.hidden_dims=(8,)",
        "--config.eval.measures=likelihood",
        f"--config.train.num_steps={steps}",
        "--config.train.eval_every=0",
        *programs.KEPT,
    )
    measure = programs.experiment("evaluate", "--num_samples=2")
    job = programs.Job("digits", (train, measure))
    with monkeypatch.context() as patched:
        patched.setattr(programs, "run_for", run_until_saved)
        first = programs.measure_job(job, tmp_path, 600.0)
    assert first[UNFINISHED] and (tmp_path / "digits.tar").exists()
    assert 0 < first["step"] < steps
    found = programs.measure_job(job, tmp_path, 600.0)
    assert UNFINISHED not in found and not (tmp_path / "digits.tar").exists()
    assert found["step"] == found["results"]["results.json"]["step"] == steps
    assert "evaluation/test_likelihood_k2.json" in found["results"]


def test_a_training_is_kept_where_its_evaluation_fails(tmp_path, monkeypatch):
    def run_for(words, budget, output):
        [workdir] = [word.partition("=")[2] for word in words if "--workdir" in word]
        if "experiments.train" in words:
            pathlib.Path(workdir).mkdir()
            (pathlib.Path(workdir) / "config.json").write_text("{}")
            return 0
        return 1

    monkeypatch.setattr(programs, "run_for", run_for)
    commands = programs.experiment("train"), programs.experiment("evaluate")
    with pytest.raises(RuntimeError, match="experiments.evaluate"):
        programs.measure_job(programs.Job("digits", commands), tmp_path, 600.0)
    with tarfile.open(tmp_path / "digits.tar") as archive:
        assert "run/config.json" in archive.getnames()


def write_data(monkeypatch, sets, out):
    flags = [f"--data_dir={sets}", f"--out={out}"]
    monkeypatch.setattr(sys, "argv", ["data", *flags])
    data.main()


def test_files_hold_every_image_of_the_sets(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28, 1), np.uint8)
    bits, labels = (images > 127).astype(np.uint8), np.arange(12) % 10
    mnist = {"train": slice(0, 9), "test": slice(9, 12)}
    binarized = {"train": slice(0, 6), "validation": slice(6, 9), "test": slice(9, 12)}
    prepare.build_offline(
        "mnist",
        {k: examples(images[v], label=labels[v]) for k, v in mnist.items()},
        tmp_path / "sets",
    )
    prepare.build_offline(
        "binarized_mnist",
        {k: examples(bits[v]) for k, v in binarized.items()},
        tmp_path / "sets",
    )
    write_data(monkeypatch, tmp_path / "sets", tmp_path / "out")
    written = np.load(tmp_path / "out" / "mnist.npz")
    for split, rows in mnist.items():
        assert same_rows(written[f"x_{split}"], images[rows])
    read = load_dataset(f"npz:{tmp_path / 'out' / 'binarized.npz'}")
    for split, rows in binarized.items():
        assert same_rows(getattr(read, split).images, bits[rows] * np.uint8(255))


def test_a_folder_without_the_sets_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="--data_dir: mnist: the data directory"):
        write_data(monkeypatch, tmp_path / "none", tmp_path / "out")


def test_a_convolution_is_timed_in_each_form():
    case = next(case for case in convolutions.cases(small=True) if "first" in case.name)
    row = case.measure(60.0)
    assert row.keys() == convolutions.FORMS.keys()
    assert all(timed["us"] > 0 for timed in row.values())
