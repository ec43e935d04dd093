"""What the benchmarks say where a package is missing."""

import subprocess
import sys

import pytest

from tests.runs_helpers import REPOSITORY


@pytest.mark.parametrize(
    ("name", "package", "advice"),
    [
        ("growth", "jax", "pip install 'vae_jax[dev]'"),
        ("gpu", "jax", "pip install 'vae_jax[dev]'"),
        ("torch_twin", "numpy", "`make bench-torch` makes one"),
        ("gpu.torch_side", "numpy", "`make bench-torch` makes one"),
    ],
)
def test_a_missing_package_is_one_line_with_what_to_install(name, package, advice):
    """-S: a Python without any installed package."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", f"benchmarks.{name}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"has no package {package}" in line
    assert advice in line
