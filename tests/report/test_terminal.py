"""What a program prints when it has measured something."""

import shlex

import pytest

from vae_jax.report import terminal


@pytest.mark.parametrize("drawn", [True, False])
def test_only_what_is_there_is_named(tmp_path, capsys, monkeypatch, drawn):
    monkeypatch.setenv("COLUMNS", "40")  # shorter than the paths
    workdir = tmp_path / "my run [v2] ü"
    workdir.mkdir()
    if drawn:
        (workdir / "figures").mkdir()
    terminal.print_results(workdir, {"elbo": -9.5, "nll": None})
    out = capsys.readouterr().out
    assert "not defined" in out
    assert f"metrics: {workdir}/metrics.jsonl\n" in out
    assert (f"figures: {workdir}/figures\n" in out) == drawn
    assert ("figures" in out) == drawn
    (curves,) = (line for line in out.splitlines() if line.startswith("curves:"))
    assert shlex.split(curves)[2] == f"--logdir={workdir}"


@pytest.mark.parametrize("installed", [True, False])
def test_tensorboard_is_named_with_how_to_get_it(
    tmp_path, capsys, monkeypatch, installed
):
    spec = object() if installed else None
    monkeypatch.setattr(terminal.importlib.util, "find_spec", lambda name: spec)
    terminal.print_results(tmp_path, {"elbo": -9.5})
    assert ("pip install tensorboard" in capsys.readouterr().out) != installed
