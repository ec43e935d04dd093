"""What a program prints when it has measured something."""

import shlex

import pytest

from vae_jax.report import terminal
from vae_jax.runs import finish

ALL = finish.quantities()


def printed(capsys, workdir, results) -> list[str]:
    terminal.print_results(workdir, results, ALL)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("drawn", [True, False])
def test_only_what_is_there_is_named(tmp_path, capsys, monkeypatch, drawn):
    monkeypatch.setenv("COLUMNS", "40")  # shorter than the paths
    workdir = tmp_path / "my run [v2] ü"
    workdir.mkdir()
    if drawn:
        (workdir / "figures").mkdir()
    lines = printed(capsys, workdir, {"elbo": -9.5, "nll": None})
    assert lines[0] == str(workdir)
    assert any("not defined" in line for line in lines)
    assert f"metrics: {workdir}/metrics.jsonl" in lines
    assert (f"figures: {workdir}/figures" in lines) == drawn
    assert any("figures" in line for line in lines) == drawn
    (curves,) = (line for line in lines if line.startswith("curves:"))
    assert shlex.split(curves)[2] == f"--logdir={workdir}"


def test_sources_are_columns_bounds_an_interval_and_errors_a_pm(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "120")
    results = {
        "split": "test",
        "nll": 22.2143,
        "nll_standard_error": 0.2561,
        "mutual_information": 4.881,
        "mutual_information_high": 5.236,
        "mutual_information_cap": 7.27,
        "coverage": 0.967,
        "codes_coverage": 1.0,
        "real_coverage": 0.994,
        "round_trip": None,
        "mine": 3,
    }
    lines = printed(capsys, tmp_path, results)

    def cells(title: str) -> list[str]:
        (line,) = (line for line in lines if line.strip().startswith(title))
        return line.split(title)[1].split()

    assert "split: test" in lines
    assert cells("NLL, nats")[:3] == ["22.21", "±", "0.26"]
    assert "NLL, standard error" not in "".join(lines)
    information = " ".join(cells("Information in a code, nats"))
    assert information.startswith("4.881 to 5.236 (log N 7.27)")
    assert cells("Completeness")[:2] == ["prior", "codes"]
    assert cells("Coverage")[:4] == ["0.967", "1", "0.994", "near"]
    assert cells("Round trip")[0] == "–"
    assert cells("mine") == ["3"]


@pytest.mark.parametrize("installed", [True, False])
def test_tensorboard_is_named_with_how_to_get_it(
    tmp_path, capsys, monkeypatch, installed
):
    spec = object() if installed else None
    monkeypatch.setattr(terminal.importlib.util, "find_spec", lambda name: spec)
    lines = printed(capsys, tmp_path, {"elbo": -9.5})
    assert any("pip install tensorboard" in line for line in lines) != installed
