"""Links of the pages lead somewhere, and nothing is missing from the pages.

`make docs` builds the site from the same pages, with warnings as errors.
"""

import importlib.util
import re

import pytest

from tests.runs_helpers import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = {
    str(path.relative_to(REPOSITORY)): path.read_text("utf-8")
    for path in [*DOCS.glob("*.md"), *REPOSITORY.glob("*.md")]
}


def test_links_lead_somewhere():
    lost = [
        (page, target)
        for page, text in PAGES.items()
        for target in re.findall(r"\]\(([^)#:\s]+)[^)]*\)", text)
        if target not in ("http", "https")
        and not (REPOSITORY / page).parent.joinpath(target).exists()
    ]
    assert lost == []


def test_every_source_is_in_the_bibliography():
    """As docstrings, configs and examples name it, such as "Burda et al. 2016"."""
    cited = re.compile(r"[A-Z][\w-]+ (?:et al\.|and [A-Z][\w-]+) (?:19|20)\d\d")
    listed = set(
        re.findall(r"^- \*\*(.+?)\.\*\* ", PAGES["docs/bibliography.md"], re.M)
    )
    assert {"Burda et al. 2016", "Kingma and Welling 2014"} <= listed
    missing = set()
    for room in ("vae_jax", "configs", "examples", "experiments"):
        for path in (REPOSITORY / room).rglob("*.py"):
            words = re.sub(r"[\s#]+", " ", path.read_text("utf-8"))
            found = set(cited.findall(words)) - listed
            missing |= {(str(path.relative_to(REPOSITORY)), name) for name in found}
    assert missing == set()


def test_the_bibliography_is_in_alphabetical_order():
    names = re.findall(r"^- \*\*(.+?)\*\*", PAGES["docs/bibliography.md"], re.M)
    assert names == sorted(names, key=lambda name: name.replace("ø", "o").lower())


def test_every_room_is_on_one_page_of_the_reference(conf):
    """`docs/conf.py` writes a section for each module of a room."""
    text = "".join(path.read_text("utf-8") for path in (DOCS / "api").glob("*.md"))
    named = [room for rooms in conf.MODULES.findall(text) for room in rooms.split(", ")]
    package = REPOSITORY / "vae_jax"
    rooms = {path.stem for path in package.glob("[a-z]*") if path.suffix in ("", ".py")}
    assert sorted(named) == sorted(rooms)
    shown = conf.reference(["objectives", "trained"])
    assert ".. automodule:: vae_jax.objectives.elbo\n" in shown
    assert ".. automodule:: vae_jax.objectives\n" in shown
    assert ".. automodule:: vae_jax.trained\n" in shown


@pytest.fixture(scope="module")
def conf():
    """docs/conf.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.environ", {})
        spec.loader.exec_module(module)
    return module


def test_links_are_bent_to_pages_of_the_site(conf):
    for page, text, bent in [
        ("lesson", "[r](../README.md#data)", "[r](quickstart.md#data)"),
        ("lesson", "[n](notebook.ipynb)", "[n](notebook.ipynb)"),
        ("lesson", "![f](lesson/samples.png)", "![f](lesson/samples.png)"),
        ("api/index", "[c](../contributing.md#x)", "[c](../contributing.md#x)"),
        ("lesson", "[u](https://semver.org)", "[u](https://semver.org)"),
    ]:
        source = [text]
        conf.on_source_read(None, page, source)
        assert source == [bent]


def test_pages_outside_of_docs_are_filled_in(conf):
    source = ["empty"]
    conf.on_source_read(None, "quickstart", source)
    assert source[0].startswith("# vae_jax")
    assert "](docs/" not in source[0]
    assert "](lesson.md)" in source[0]
    assert "](configs.md)" in source[0]


def test_docstrings_become_restructured_text(conf):
    lines = [
        "Of `x`s and p(x | z_).",
        "",
        "    VAE(*parts)",
        "",
        "Args:",
        "    x: `a`.",
    ]
    conf.on_docstring(None, "class", "", None, None, lines)
    assert lines == [
        "Of ``x``\\ s and p(x \\| z\\_).",
        "",
        "::",
        "",
        "    VAE(*parts)",
        "",
        "Args:",
        "    x: ``a``\\ .",
    ]
