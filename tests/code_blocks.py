"""The code blocks of Markdown pages, run in a folder that looks like a fresh clone."""

import os
import pathlib
import re
import subprocess
import sys

from tests.runs_helpers import REPOSITORY

TIMEOUT_S = 300
# What takes minutes is cut short; all else is run as it is written.
CUTS = {
    "--config.train.num_steps=500": (
        "--config.train.num_steps=20 --config.eval.regularity=False"
    ),
    "--num_samples=1000": "--num_samples=10",
    "--seeds=2": "--seeds=1 --config.eval.figures=False",
}


def blocks(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks of a language; others are not meant to be run."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def make_clone(folder: pathlib.Path) -> pathlib.Path:
    """Links to what a page may use; what is written stays in the folder."""
    for name in ("vae_jax", "experiments", "configs", "examples", "benchmarks"):
        if (REPOSITORY / name).exists():
            (folder / name).symlink_to(REPOSITORY / name)
    return folder


def shorten(script: str) -> str:
    """The script with long runs cut short."""
    for long, short in CUTS.items():
        script = script.replace(long, short)
    return script


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
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout
