"""Each example reaches what it says it does, and uses public names only."""

import ast
import importlib
import subprocess
import sys

import numpy as np
import pytest

import vae_jax
from tests.runs_helpers import REPOSITORY

FILES = sorted((REPOSITORY / "examples").glob("*.py"))


def run(name):
    return importlib.import_module(f"examples.{name}").main()


def test_own_loop_reaches_the_exact_likelihood_of_linear_models():
    results = run("own_loop")
    assert abs(results["elbo"] - results["best_possible"]) < 0.1


@pytest.mark.slow
def test_mixed_likelihoods_beat_gaussian_ones_on_a_table():
    results = run("tabular")
    assert results["mixed_log_px"] > results["gaussian_log_px"] + 3
    assert results["mixed_elbo"] > results["gaussian_elbo"] + 3


@pytest.mark.slow
def test_labels_are_worth_more_than_a_nat_and_steer_what_is_drawn():
    results = run("conditional")
    assert results["conditional_elbo"] > results["unconditional_elbo"] + 1
    assert results["conditional_log_px"] > results["unconditional_log_px"] + 1
    assert results["recognised"] > 0.85


@pytest.mark.slow
def test_signals_come_close_to_their_exact_likelihood_and_padding_is_nothing():
    results = run("sequence")
    exact = results["exact_log_px"]
    assert exact - 1 < results["log_px"] < exact + 0.1
    assert results["changed_by_padding"] == 0


def test_rate_falls_with_the_weight_and_the_step_is_traced_once():
    results = run("kl_sweep")
    assert (np.diff(results["rate"]) < 0).all()
    assert (np.diff(results["distortion"]) > 0).all()
    assert np.argmin(results["nll"]) in (2, 3)  # 0.5 or 1, not the extremes
    assert results["traces"] == 1


def test_nnx_module_comes_close_to_the_exact_likelihood_in_one_trace():
    results = run("nnx_model")
    assert results["exact_log_px"] - 1 < results["log_px"] < results["exact_log_px"]
    assert results["traces"] == 1


def test_full_covariance_of_another_library_is_exact_where_a_diagonal_is_not():
    pytest.importorskip("numpyro")
    results = run("numpyro_posterior")
    assert abs(results["full"] - results["exact"]) < 0.02
    assert results["diagonal"] < results["full"] - 0.01


def test_equinox_model_beats_the_best_linear_one():
    pytest.importorskip("equinox")
    results = run("equinox_model")
    assert results["elbo"] > results["best_linear"] + 5


@pytest.mark.slow
def test_a_search_finds_better_settings_in_one_trace():
    pytest.importorskip("optuna")
    results = run("optuna_search")
    assert results["trials"] == 48
    assert results["best"][-1] < results["best"][0] - 0.2
    assert 0.3 < results["kl_weight"] < 3  # the bound on log p(x) is tightest near 1
    assert results["traces"] == 1


def test_sharded_steps_equal_those_on_one_device():
    """In a process of its own: devices are counted when JAX is first used."""
    program = "from examples import sharded; print(sharded.main())"
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    results = ast.literal_eval(found.stdout.splitlines()[-1])
    assert results["relative_difference_mapped"] < 1e-5
    assert results["relative_difference"] < 1e-5
    assert results["last"] < 0.9 * results["first"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_only_public_names_are_imported(file):
    """`import vae_jax` or names of its public modules, nothing that lies deeper."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("vae_jax"):
            names = [alias.name for alias in node.names]
            module = vae_jax
            for part in str(node.module).split(".")[1:]:
                assert part in module.__all__
                module = getattr(module, part)
            assert module is not vae_jax or set(names) <= set(vae_jax.__all__)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            assert not [name for name in names if name.startswith("vae_jax.")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_examples_are_short_and_say_how_to_run_them(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 240
    assert f"python -m examples.{file.stem}\n" in text
