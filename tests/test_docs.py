"""Links of the pages lead somewhere, and nothing is missing from the pages.

`make docs` builds the site from the same pages, with warnings as errors.
"""

import importlib.util
import re

import pytest

import vae_jax
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


def test_every_public_name_is_on_one_page_of_the_reference(conf):
    """`docs/conf.py` writes what stands in their comments; each page has an example."""
    pages = {path.name: path.read_text("utf-8") for path in (DOCS / "api").glob("*.md")}
    lists = [found for text in pages.values() for found in conf.NAMES.findall(text)]
    named = [name for found in lists for name in found.split()]
    assert sorted(set(named)) == sorted(named)
    assert set(vae_jax.__all__) <= set(named)
    assert [page for page, text in pages.items() if "```python\n" not in text] == []
    for name in vae_jax.__all__:
        assert f"`{name}`" in pages["index.md"], name


def test_the_reference_is_written_by_names(conf):
    shown = conf.reference(["VAE", "terms", "bounds"])
    assert ".. autoclass:: vae_jax.VAE\n" in shown
    assert ".. autofunction:: vae_jax.terms\n" in shown
    assert ".. automodule:: vae_jax.objectives.bounds\n" in shown
    with pytest.raises(ValueError, match="has no VEA"):
        conf.reference(["VEA"])


def test_the_site_links_to_the_repository_that_it_is_built_from(conf):
    for remote, address in [
        (
            "https://github.com/someone/vae_jax.git\n",
            "https://github.com/someone/vae_jax",
        ),
        ("git@github.com:someone/vae_jax.git", "https://github.com/someone/vae_jax"),
        ("ssh://git@codeberg.org/someone/vae", "https://codeberg.org/someone/vae"),
        ("/home/someone/vae_jax", ""),
        ("", ""),
    ]:
        assert conf.repository(remote) == address


def test_every_picture_says_what_it_shows():
    for page, text in PAGES.items():
        assert re.findall(r"!\[\s*\]\([^)]*\)", text) == [], page


def gallery() -> list[tuple[str, str, str, str]]:
    """Config, our number, the published one and their difference, row by row."""
    rows = re.findall(r"^\| `([\w/]+)`.*", PAGES["docs/gallery.md"], re.M)
    lines = re.findall(r"^\| `[\w/]+`.*", PAGES["docs/gallery.md"], re.M)
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [
        (name, row[3], row[4], row[5]) for name, row in zip(rows, cells, strict=True)
    ]


def test_the_gallery_has_every_config():
    folder = REPOSITORY / "configs"
    names = {
        str(path.relative_to(folder).with_suffix(""))
        for path in folder.rglob("*.py")
        if path.stem not in ("__init__", "default")
    }
    assert {name for name, *_ in gallery()} == names


def test_numbers_of_the_gallery_are_those_of_the_results():
    """Or of the config's docstring; and differences are right."""
    for name, ours, published, difference in gallery():
        source = PAGES["docs/results.md"]
        source += (REPOSITORY / "configs" / f"{name}.py").read_text("utf-8")
        number = re.match(r"-?[\d.]+", ours)
        assert number or ours == "not measured on a GPU", name
        if number:
            assert number[0] in source, f"{name}: {ours}"
        if difference:
            known = re.match(r"-?[\d.]+", published)
            assert number and known, name
            found = float(number[0]) - float(known[0])
            assert float(difference) == pytest.approx(found, abs=1e-6), name
        elif re.match(r"-?[\d.]+", published):
            assert not number, f"{name}: the difference is missing"


def test_a_citation_names_this_version():
    citation = (REPOSITORY / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {vae_jax.__version__}\n" in citation
    assert f"version = {{{vae_jax.__version__}}}" in PAGES["docs/citation.md"]


def test_the_table_of_kl_weights_fits_a_page():
    """Six columns; the others are folded."""
    before, _, folded = PAGES["docs/kl_weights.md"].partition("<details>")
    assert re.search(r"^\| weight \|.*", before, re.M)[0].count("|") == 7
    assert "| posterior variance |" in folded.partition("</details>")[0]


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
    assert source[0].startswith("# Quick start\n")
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
