"""docs/reuse.md does not rot: its blocks are one script, and its names exist."""

import os
import re
import subprocess
import sys

import pytest

import vae_jax
from tests.runs_helpers import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reuse.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_blocks_run_as_one_script_elsewhere(tmp_path):
    """In a folder of its own, and without a word on stderr, such as a warning."""
    assert len(BLOCKS) >= 10
    (tmp_path / "reuse.py").write_text("\n".join(BLOCKS))
    found = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "reuse.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    first, evaluated, refused = found.stdout.splitlines()
    for name in ("loss", "elbo", "rate", "distortion"):
        assert f"'{name}'" in first
    assert "'nll'" in evaluated
    assert refused.startswith("x['visits'][0, 0] is ")


def test_table_lists_every_example():
    listed = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    files = (REPOSITORY / "examples").glob("*.py")
    assert sorted(listed) == sorted(file.stem for file in files)


def test_errors_and_names_exist():
    for name in re.findall(r"errors\.(\w+)", PAGE):
        assert issubclass(getattr(vae_jax.errors, name), vae_jax.errors.VAEJaxError)
    for name in re.findall(r"vae_jax\.(\w+)", PAGE):
        assert name in vae_jax.__all__, name
