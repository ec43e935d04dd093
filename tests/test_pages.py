"""README and pages do not rot: followed in order in one clone, after `make train`."""

import pathlib
import re

import pytest

from tests.code_blocks import CUTS, Clone, blocks
from tests.runs_helpers import REPOSITORY

# Those that have a test of their own, in an environment that has less.
ELSEWHERE = ("docs/reuse.md",)


def pages() -> list[str]:
    """The pages with something to run, as the site orders them."""
    names = {
        "docs/quickstart.md": "README.md",
        "docs/contributing.md": "CONTRIBUTING.md",
    }
    found = [names.get(name, name) for name in listed("docs/index.md")]
    return [name for name in found if name not in ELSEWHERE and blocks(page(name))]


def listed(name: str) -> list[str]:
    """All pages below one in the table of contents, each before those below it."""
    fence = r"^```{toctree}\n(.*?)^```$"
    trees = re.findall(fence, page(name), re.DOTALL | re.MULTILINE)
    lines = [line for tree in trees for line in tree.splitlines()]
    links = [line.rpartition("<")[2].rstrip(">") for line in lines if line]
    folder = pathlib.Path(name).parent
    below = [str(folder / f"{link}.md") for link in links if link[0] != ":"]
    return [found for path in below for found in (path, *listed(path))]


def page(name: str) -> str:
    """The text of a page, or nothing for one that is made for the site."""
    path = REPOSITORY / name
    return path.read_text("utf-8") if path.is_file() else ""


STEPS = [
    pytest.param(name, language, text, id=f"{name}-{number}")
    for name in pages()
    for number, (language, text) in enumerate(blocks(page(name)))
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


def test_there_is_something_to_run():
    assert pages()[0] == "README.md"
    assert {"docs/configs.md", "docs/images.md", "docs/runs.md"} <= set(pages())
    everything = "".join(page(name) for name in pages())
    assert [cut for cut in CUTS if cut not in everything] == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "language", "text"), STEPS)
def test_what_is_printed_works_in_order(clone, name, language, text):
    """Each block stands on those before it, as for a reader who skips none."""
    printed = clone.run(language, text)
    for path in re.findall(r"--(?:out|workdir)=(\S+)", text):
        assert (clone.folder / path).exists()
    if (name, language) == ("README.md", "python"):
        elbo, rate, distortion = map(float, printed.splitlines()[0].split())
        assert elbo == pytest.approx(-(rate + distortion), rel=1e-4)


def test_no_page_has_commands_that_are_not_followed():
    """But for those with a test of their own."""
    every = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    names = {str(pathlib.Path(path).relative_to(REPOSITORY)) for path in every}
    with_code = {name for name in names if blocks(page(name)) and "_build" not in name}
    assert with_code - set(ELSEWHERE) == set(pages())
