"""Terms over the whole batch, where it lies on several devices."""

import json
import os
import subprocess
import sys

import pytest

from tests.runs_helpers import REPOSITORY, devices


@pytest.mark.slow
def test_terms_over_the_whole_batch_are_those_of_one_device():
    done = subprocess.run(
        [sys.executable, "-m", "tests.objectives.eight_devices"],
        cwd=REPOSITORY,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": devices(8)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert len(found) == 6
    for one, eight in found.values():
        assert eight == pytest.approx(one, rel=1e-4, abs=1e-4)
