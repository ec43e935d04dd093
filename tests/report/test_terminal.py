"""What a program prints when it has measured something."""

import shlex

import pytest

from vae_jax.evaluation import measures
from vae_jax.quantities import keys_of
from vae_jax.report import terminal
from vae_jax.runs import finish

ALL = finish.quantities()


def printed(capsys, workdir, results, everything=True) -> list[str]:
    terminal.print_results(workdir, results, ALL, everything)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("drawn", [True, False])
def test_only_what_is_there_is_named(tmp_path, capsys, monkeypatch, drawn):
    monkeypatch.setenv("COLUMNS", "40")  # shorter than the paths
    workdir = tmp_path / "my run [v2] ü"
    workdir.mkdir()
    if drawn:
        (workdir / "figures").mkdir()
        (workdir / "tensorboard").mkdir()
    lines = printed(capsys, workdir, {"elbo": -9.5, "nll": None})
    assert lines[0] == str(workdir)
    assert any("not defined" in line for line in lines)
    assert (f"figures: {workdir}/figures" in lines) == drawn
    assert any("figures" in line for line in lines) == drawn
    curves = [line for line in lines if line.startswith("curves:")]
    assert len(curves) == drawn
    assert all(shlex.split(line)[2] == f"--logdir={workdir}" for line in curves)


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
    assert cells("Completeness") == ["prior", "codes", "real", "good"]
    assert cells("Coverage")[:4] == ["0.967", "1", "0.994", "as"]
    assert cells("Round trip")[0] == "–"
    assert cells("mine") == ["3"]


@pytest.mark.parametrize("installed", [True, False])
def test_tensorboard_is_named_with_how_to_get_it(
    tmp_path, capsys, monkeypatch, installed
):
    (tmp_path / "tensorboard").mkdir()
    spec = object() if installed else None
    monkeypatch.setattr(terminal.importlib.util, "find_spec", lambda name: spec)
    lines = printed(capsys, tmp_path, {"elbo": -9.5})
    assert any("pip install tensorboard" in line for line in lines) != installed


def test_the_short_form_fits_24_lines_of_80_columns(tmp_path, capsys, monkeypatch):
    """With every number of a run's default measures, a sentence of diagnosis below."""
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "figures").mkdir()
    names = ("likelihood", "codes", "regularity")
    of_run = measures.quantities({name: measures.BY_NAME[name] for name in names})
    results = dict.fromkeys(keys_of(of_run), -1234.5678)
    lines = printed(capsys, tmp_path, results | {"mine": 3}, everything=False)
    own = [line.rstrip() for line in lines if str(tmp_path) not in line]
    assert len(lines) <= 18  # five lines of a diagnosis and the prompt make 24
    assert max(map(len, own)) <= 80
    heads = [line.split()[0] for line in own if line[0] != " "]
    assert heads[:3] == ["Fit", "Code", "Draws"]
    hidden = [q for q in of_run if not q.brief and "standard error" not in q.title]
    note = f"{tmp_path}   ({len(hidden) + 1} more numbers with --all)"
    assert lines[0] == note
    assert all(line.startswith("  ") or line.split()[0] in heads for line in own)


def test_results_of_which_none_is_in_the_short_form(tmp_path, capsys):
    lines = printed(capsys, tmp_path, {"mine": 3}, everything=False)
    assert lines[0] == f"{tmp_path}   (1 more numbers with --all)"


def test_a_number_has_the_digits_that_its_error_leaves(tmp_path, capsys):
    results = {"nll": 112.0039, "nll_standard_error": 0.082}
    text = "\n".join(printed(capsys, tmp_path, results))
    assert "112.00 ± 0.08 " in text
