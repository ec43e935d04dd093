"""The README does not rot: its commands and its code run as they stand."""

import pathlib
import re

import pytest

from tests.code_blocks import CUTS, blocks, make_clone, shell, shorten
from tests.runs_helpers import REPOSITORY

README = (REPOSITORY / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> pathlib.Path:
    return make_clone(tmp_path_factory.mktemp("clone"))


def test_there_is_something_to_run():
    assert len(blocks(README, "bash")) >= 2
    assert len(blocks(README, "python")) >= 1
    assert all(cut in README for cut in CUTS)


@pytest.mark.slow
@pytest.mark.parametrize("script", blocks(README, "bash"))
def test_commands(script, clone):
    shell(shorten(script), clone)
    for path in re.findall(r"--(?:out|workdir)=(\S+)", script):
        assert (clone / path).exists()


@pytest.mark.parametrize("code", blocks(README, "python"))
def test_code(code, clone):
    (clone / "reuse.py").write_text(code)
    elbo, rate, distortion = map(float, shell("python reuse.py", clone).split())
    assert elbo == pytest.approx(-(rate + distortion), rel=1e-4)
