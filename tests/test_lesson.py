"""The lesson: its texts, figures, numbers and notebooks belong together."""

import ast
import importlib.util
import json
import pathlib
import re
import shutil
import types
import xml.etree.ElementTree as ElementTree

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from docs.lesson_tools import hourglass, lesson, measured, trained
from docs.lesson_tools import text as lesson_text
from tests import chromium
from tests.runs_helpers import REPOSITORY
from vae_jax.errors import DataError
from vae_jax.evaluation import holes

DOCS = REPOSITORY / "docs"
TEXTS = {
    name: (DOCS / name).read_text("utf-8") for name in ("lesson.md", "lesson.es.md")
}
NUMBERS = json.loads((DOCS / "lesson" / "lesson.json").read_text("utf-8"))
NOTEBOOKS = {
    name: nbformat.read(DOCS / name, as_version=4)
    for name in ("notebook.ipynb", "notebook.es.ipynb")
}
SPANISH = ".es"
FIGURES = "*.[ps]*g"

IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")
SMALL_STEPS = 20


def sections(text: str) -> list[str]:
    """What stands before the first heading of the second level, and each section."""
    return re.split(r"^## ", text, flags=re.MULTILINE)


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.*)$", text, re.MULTILINE)


def frames(text: str) -> list[tuple[str, str]]:
    """Address and title of the pages within a page."""
    return re.findall(r'<iframe [^>]*src="([^"]*)"[^>]* title="([^"]*)"', text)


def formulas(text: str) -> list[str]:
    """All formulas, without the words in them."""
    found = re.findall(r"\$\$.*?\$\$|\$[^$]+\$", text, re.DOTALL)
    return [re.sub(r"\\text\{\w+\}|\s+", " ", formula) for formula in found]


@pytest.mark.parametrize("name", TEXTS)
def test_quoted_numbers_are_those_measured(name: str) -> None:
    text = TEXTS[name]
    assert len(lesson_text.QUOTED.findall(text)) > 80
    assert lesson_text.fill(text, NUMBERS, "lesson/lesson.json") == text


def test_every_figure_is_there_small_described_and_used() -> None:
    figures = {
        path.name: path.stat().st_size for path in DOCS.glob(f"lesson/{FIGURES}")
    }
    assert max(figures.values()) < 150_000
    assert sum(figures.values()) < 1_500_000
    for name, text in TEXTS.items():
        language = name.removeprefix("lesson").removesuffix(".md")
        drawings = {f"lesson/{kind}{language}.svg" for kind in ("autoencoder", "vae")}
        shown = IMAGE.findall(text)
        wanted = {f"lesson/{figure}" for figure in figures if figure.endswith("png")}
        assert wanted | drawings == {path for _, path in shown}
        assert all(len(description) > 60 for description, _ in shown)
        ((address, title),) = frames(text)
        assert (DOCS / address).stat().st_size < 1_000_000
        assert len(title) > 60


def test_both_languages_say_the_same() -> None:
    english, spanish = (sections(text) for text in TEXTS.values())
    assert len(english) == len(spanish)
    for ours, theirs in zip(english, spanish, strict=True):
        assert ours.split(".")[0] == theirs.split(".")[0] or ours is english[0]
        theirs = theirs.replace(f"{SPANISH}.", ".")
        for parts in (
            [
                [match[1:] for match in lesson_text.QUOTED.findall(text)]
                for text in (ours, theirs)
            ],
            [[path for _, path in IMAGE.findall(text)] for text in (ours, theirs)],
            [sorted(set(formulas(text))) for text in (ours, theirs)],
            [text.count("<details>") for text in (ours, theirs)],
            [[address for address, _ in frames(text)] for text in (ours, theirs)],
        ):
            assert parts[0] == parts[1]


def test_notebooks_have_the_sections_of_their_texts_and_no_outputs() -> None:
    for notebook, text in zip(NOTEBOOKS.values(), TEXTS.values(), strict=True):
        told = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        assert [line for part in told for line in headings(part)] == headings(text)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        titles = {re.findall("^# (.*)$", page, re.M)[0] for page in (told[0], text)}
        assert len(titles) == 2  # or neither could be told from the other in a list


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    """What the cells do, without comments and the words in strings."""
    trees = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tree = ast.parse(
                re.sub(r"^( *)%pip .*", r"\1pass", cell.source, flags=re.M)
            )
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    node.value = ""
            trees.append(ast.dump(tree))
    return trees


def test_both_notebooks_run_the_same_code_and_describe_their_pictures() -> None:
    english, spanish = NOTEBOOKS.values()
    assert code_of(english) == code_of(spanish)
    for notebook in NOTEBOOKS.values():
        for cell in notebook.cells:
            draws = re.search(
                r"^(?!def )(show|latent_map|plt.show)\(", cell.source, re.M
            )
            described = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert bool(draws) == (len(described) > 60), cell.source


def test_the_hourglass_shows_every_layer_in_the_words_of_each_language() -> None:
    image = np.zeros((28, 28, 1))
    for words in hourglass.WORDS.values():
        for cloud in (False, True):
            drawing = hourglass.draw((784, 256, 64, 2), (image, image), words, cloud)
            texts = [
                element.text
                for element in ElementTree.fromstring(drawing).iter()
                if element.tag.endswith("}text")
            ]
            numbers = ["784", "256", "64", "64", "256", "784", "2"]
            assert [text for text in texts if text in numbers] == numbers
            named = {words.encoder, words.decoder, words.code, words.image}
            assert named <= set(texts)
            assert ({words.mean, words.std, words.draw} <= set(texts)) == cloud


# How many words of a drawing touch another or leave the panel.
MISPLACED = """(() => {
  const inside = document.querySelector(".panel").getBoundingClientRect();
  const boxes = [...document.querySelectorAll("text")].map(
    (text) => text.getBoundingClientRect());
  const apart = (a, b) => a.right < b.left || b.right < a.left
    || a.bottom < b.top || b.bottom < a.top;
  return boxes.filter((box, n) =>
    box.left < inside.left || box.right > inside.right
    || box.top < inside.top || box.bottom > inside.bottom
    || boxes.some((other, m) => m !== n && !apart(box, other))).length;
})()"""
PANEL = """getComputedStyle(document.querySelector(".panel")).fill"""


@pytest.mark.skipif(
    chromium.EXECUTABLE is None, reason="needs chromium on the PATH; there is none"
)
def test_drawings_can_be_read_in_the_light_and_in_the_dark() -> None:
    with chromium.browser() as page:
        for path in DOCS.glob("lesson/*.svg"):
            for scheme, color in (("light", "255, 255, 255"), ("dark", "19, 20, 22")):
                feature = {"name": "prefers-color-scheme", "value": scheme}
                page.call("Emulation.setEmulatedMedia", features=[feature])
                page.open(path, 1000)
                assert page.run(PANEL) == f"rgb({color})"
            assert page.run(MISPLACED) == 0, path.name


@pytest.fixture(scope="module")
def pages() -> types.ModuleType:
    """docs/_ext/lesson_pages.py as a module."""
    path = DOCS / "_ext" / "lesson_pages.py"
    spec = importlib.util.spec_from_file_location("lesson_pages", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_badges_open_the_notebooks_of_a_public_repository(pages) -> None:
    opened = "https://colab.research.google.com/github/o/n/blob/main/docs"
    for name, notebook in NOTEBOOKS.items():
        first = notebook.cells[0].source
        text = TEXTS[name.replace("notebook", "lesson").replace("ipynb", "md")]
        for source in (first, text):
            shown = pages.with_badges(source, "https://github.com/o/n")
            assert shown.count(f"(_static/colab.svg)]({opened}/{name})") == 1
            for elsewhere in ("", "https://example.org/o/n", "https://github.com/o"):
                assert pages.with_badges(source, elsewhere) == source
    assert (DOCS / "_static" / "colab.svg").is_file()


def test_the_framed_page_is_where_the_lesson_looks_for_it(pages, tmp_path) -> None:
    builder = types.SimpleNamespace(format="html")
    app = types.SimpleNamespace(builder=builder, outdir=tmp_path, srcdir=DOCS)
    pages.on_build_finished(app, None)
    for text in TEXTS.values():
        ((address, _),) = frames(text)
        assert (tmp_path / address).read_bytes() == (DOCS / address).read_bytes()


def test_spanish_pages_say_that_they_are_spanish(pages) -> None:
    languages = {}
    for name in ("lesson", "lesson.es", "notebook.es", "images"):
        context = {"language": "en"}
        pages.on_page_context(None, name, "page.html", context, None)
        languages[name] = context["language"]
    assert [name for name in languages if languages[name] == "es"] == [
        "lesson.es",
        "notebook.es",
    ]


def test_claims_hold() -> None:
    """What the texts say in words, of the numbers that they quote."""

    def of(name: str, key: str, dim: int = 16) -> float:
        return NUMBERS[f"{name}.{dim}d.{key}"]

    for dim in trained.DIMS:
        zero, auto = of("beta0", "distortion", dim), of("ae", "distortion", dim)
        assert abs(zero - auto) < 0.05 * auto
        assert of("beta0", "posterior_variance", dim) < 1e-4
        assert of("beta1", "shift_cost", dim) < 0.75 * of("beta0", "shift_cost", dim)
        best = max(of(f"beta{w:g}", "elbo", dim) for w in trained.WEIGHTS)
        assert of("beta1", "elbo", dim) == best
        assert of("beta100", "rate", dim) < 0.01
        blank = NUMBERS["blank.distortion"]
        assert abs(of("beta100", "distortion", dim) - blank) < 0.01 * blank
    for key, sign in (("noise_share", 1), ("rate", -1), ("active_units", -1)):
        values = [sign * of(f"beta{w:g}", key) for w in trained.WEIGHTS]
        assert values == sorted(values)
    assert max(of("ae", "coverage"), of("beta0", "coverage")) < 0.01
    assert of("beta1", "coverage") > 0.4 < of("beta0", "fitted_coverage")
    for name in measured.GENERATORS:
        mixture = of(name, "mixture_coverage")
        assert mixture > of(name, "fitted_coverage") > of(name, "coverage")
        assert of(name, "mixture_frechet_pca") < of(name, "frechet_pca")
        assert mixture > of("beta1", "coverage")
    assert of("beta1", "hole_mass") < of("beta0", "hole_mass")
    assert of("ae", "confident") > of("beta1", "confident")


@pytest.mark.parametrize(
    ("value", "percent", "text"),
    [
        ("MNIST", False, "MNIST"),
        (54000, False, "54000"),
        (0.0, False, "0"),
        (206.24, False, "206"),
        (76.51, False, "76.5"),
        (-0.537, False, "−0.54"),
        (1.31e-5, False, "0.000013"),
        (0.0, True, "0%"),
        (0.0026, True, "0.3%"),
        (0.505, True, "50%"),
        (0.99996, True, "100%"),
    ],
)
def test_numbers_are_written_for_readers(
    value: object, percent: bool, text: str
) -> None:
    assert lesson_text.in_prose(value, percent) == text


def test_filling_a_text() -> None:
    text = "Was [old][a.b], now [?][a.b%].\n"
    filled = lesson_text.fill(text, {"a.b": 0.25}, "x.json")
    assert filled == (
        "Was [0.25][a.b], now [25%][a.b%].\n\n"
        '[a.b]: x.json "a.b"\n[a.b%]: x.json "a.b%"\n'
    )
    assert lesson_text.fill(filled, {"a.b": 0.25}, "x.json") == filled
    with pytest.raises(DataError, match="a.b"):
        lesson_text.fill(text, {"a.b": None}, "x.json")


@pytest.mark.slow
def test_lesson_runs_on_small_images_and_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holes, "NUM_STEPS", 10)
    monkeypatch.setattr(holes, "NUM_DRAWS", 500)
    for name in TEXTS:
        shutil.copy(DOCS / name, tmp_path)
    out, workdir = tmp_path / "lesson", tmp_path / "runs"
    config = trained.make_config(data_dir=None, num_steps=SMALL_STEPS)
    assert config.data.name == "mnist_5k"
    config.data.name = "digits"
    lesson.teach(config, workdir, out)
    numbers = json.loads((out / "lesson.json").read_text("utf-8"))
    assert numbers.keys() >= NUMBERS.keys()  # a newer measure adds some
    assert numbers["data"] == "scikit-learn's digits"
    page = (out / "explorer.html").read_text("utf-8")
    assert "<title>scikit-learn&#39;s digits in codes of two numbers</title>" in page
    assert {path.name for path in out.glob(FIGURES)} == {
        path.name for path in DOCS.glob(f"lesson/{FIGURES}")
    }
    for name, committed in TEXTS.items():
        text = (tmp_path / name).read_text("utf-8")
        assert text != committed
        assert f"[{SMALL_STEPS}][num_steps]" in text
        assert sections(text)[0].startswith(sections(committed)[0][:200])

    results = list(workdir.rglob("results.json"))
    assert len(results) == (1 + len(trained.WEIGHTS)) * len(trained.DIMS) + 1
    times = [path.stat().st_mtime_ns for path in results]
    trained.train_all(config, workdir / "digits")
    assert [path.stat().st_mtime_ns for path in results] == times


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESSON_STEPS", str(SMALL_STEPS))
    monkeypatch.delenv("LESSON_DATA", raising=False)
    notebook = nbformat.from_dict(NOTEBOOKS[name])
    resources = {"metadata": {"path": str(REPOSITORY)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        pictures = [out for out in outputs if "image/png" in out.get("data", {})]
        assert len(pictures) == ("mystnb" in cell.metadata), cell.source
