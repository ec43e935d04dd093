"""The README does not rot: its commands and its code run as they stand."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.runs_helpers import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
TIMEOUT_S = 300
# What takes minutes is cut short; all else is run as it is written.
CUTS = {
    "--config.train.num_steps=500": (
        "--config.train.num_steps=20 --config.eval.regularity=False"
    ),
    "--num_samples=1000": "--num_samples=10",
    "--seeds=2": "--seeds=1 --config.eval.figures=False",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> pathlib.Path:
    """A folder that looks like a fresh clone; what is written stays in it."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("vae_jax", "experiments", "configs"):
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


def shell(script: str, folder: pathlib.Path) -> str:
    """Runs lines of bash in which `python` is the one that runs the tests."""
    script = f'set -e\npython() {{ "{sys.executable}" "$@"; }}\n{script}'
    process = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_there_is_something_to_run():
    assert len(blocks("bash")) >= 2
    assert len(blocks("python")) >= 1
    assert all(cut in README for cut in CUTS)


@pytest.mark.slow
@pytest.mark.parametrize("script", blocks("bash"))
def test_commands(script, clone):
    for long, short in CUTS.items():
        script = script.replace(long, short)
    shell(script, clone)
    for path in re.findall(r"--(?:out|workdir)=(\S+)", script):
        assert (clone / path).exists()


@pytest.mark.parametrize("code", blocks("python"))
def test_code(code, clone):
    (clone / "reuse.py").write_text(code)
    elbo, rate, distortion = map(float, shell("python reuse.py", clone).split())
    assert elbo == pytest.approx(-(rate + distortion), rel=1e-4)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)", README))))
def test_links(path):
    assert (REPOSITORY / path).exists()
