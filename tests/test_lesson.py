"""The lesson: its texts, figures, numbers and notebook belong together."""

import json
import pathlib
import re
import shutil

import nbformat
import pytest
from nbclient import NotebookClient

from experiments import lesson, lesson_text
from tests.runs_helpers import REPOSITORY
from vae_jax import as_text
from vae_jax.errors import DataError
from vae_jax.evaluation import holes

DOCS = REPOSITORY / "docs"
TEXTS = {
    name: (DOCS / name).read_text("utf-8") for name in ("lesson.md", "lesson.es.md")
}
NUMBERS = json.loads((DOCS / "lesson" / "lesson.json").read_text("utf-8"))
NOTEBOOK = nbformat.read(DOCS / "lesson.ipynb", as_version=4)

IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")
SMALL_STEPS = 20


def sections(text: str) -> list[str]:
    """What stands before the first heading of the second level, and each section."""
    return re.split(r"^## ", text, flags=re.MULTILINE)


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", TEXTS)
def test_quoted_numbers_are_those_measured(name: str) -> None:
    text = TEXTS[name]
    assert len(lesson_text.QUOTED.findall(text)) > 80
    assert lesson_text.fill(text, NUMBERS, "lesson/lesson.json") == text


def test_every_figure_is_there_small_described_and_used() -> None:
    figures = {path.name: path.stat().st_size for path in DOCS.glob("lesson/*.png")}
    assert max(figures.values()) < 150_000
    assert sum(figures.values()) < 1_500_000
    for text in TEXTS.values():
        shown = IMAGE.findall(text)
        assert {f"lesson/{name}" for name in figures} == {path for _, path in shown}
        assert all(len(description) > 60 for description, _ in shown)


def test_both_languages_say_the_same() -> None:
    english, spanish = (sections(text) for text in TEXTS.values())
    assert len(english) == len(spanish)
    for ours, theirs in zip(english, spanish, strict=True):
        assert ours.split(".")[0] == theirs.split(".")[0] or ours is english[0]
        quoted = [
            [match[1:] for match in lesson_text.QUOTED.findall(text)]
            for text in (ours, theirs)
        ]
        assert quoted[0] == quoted[1]
        paths = [[path for _, path in IMAGE.findall(text)] for text in (ours, theirs)]
        assert paths[0] == paths[1]
        assert ours.count("```") == theirs.count("```")


def test_notebook_has_the_sections_of_the_text_and_no_outputs() -> None:
    cells = NOTEBOOK.cells
    found = [h for c in cells if c.cell_type == "markdown" for h in headings(c.source)]
    assert found == headings(TEXTS["lesson.md"])
    assert not any(cell.get("outputs") for cell in cells)


def test_claims_hold() -> None:
    """What the texts say in words, of the numbers that they quote."""

    def of(name: str, key: str, dim: int = 16) -> float:
        return NUMBERS[f"{name}.{dim}d.{key}"]

    for dim in lesson.DIMS:
        zero, auto = of("beta0", "distortion", dim), of("ae", "distortion", dim)
        assert abs(zero - auto) < 0.05 * auto
        assert of("beta0", "posterior_variance", dim) < 1e-4
        assert of("beta1", "shift_cost", dim) < 0.75 * of("beta0", "shift_cost", dim)
        best = max(of(f"beta{w:g}", "elbo", dim) for w in lesson.WEIGHTS)
        assert of("beta1", "elbo", dim) == best
        assert of("beta100", "rate", dim) < 0.01
        blank = NUMBERS["blank.distortion"]
        assert abs(of("beta100", "distortion", dim) - blank) < 0.01 * blank
    for key, sign in (("noise_share", 1), ("rate", -1), ("active_units", -1)):
        values = [sign * of(f"beta{w:g}", key) for w in lesson.WEIGHTS]
        assert values == sorted(values)
    assert max(of("ae", "coverage"), of("beta0", "coverage")) < 0.01
    assert of("beta1", "coverage") > 0.4 < of("beta0", "fitted_coverage")
    for name in lesson.GENERATORS:
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
    assert as_text.in_prose(value, percent) == text


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
    config = lesson.make_config(data_dir=None, num_steps=SMALL_STEPS)
    assert config.data.name == "mnist_5k"
    config.data.name = "digits"
    lesson.teach(config, workdir, out)
    numbers = json.loads((out / "lesson.json").read_text("utf-8"))
    assert numbers.keys() >= NUMBERS.keys()  # a newer measure adds some
    assert numbers["data"] == "scikit-learn's digits"
    assert {path.name for path in out.glob("*.png")} == {
        path.name for path in DOCS.glob("lesson/*.png")
    }
    for name, committed in TEXTS.items():
        text = (tmp_path / name).read_text("utf-8")
        assert text != committed
        assert f"[{SMALL_STEPS}][num_steps]" in text
        assert sections(text)[0].startswith(sections(committed)[0][:200])

    results = list(workdir.rglob("results.json"))
    assert len(results) == (1 + len(lesson.WEIGHTS)) * len(lesson.DIMS) + 1
    times = [path.stat().st_mtime_ns for path in results]
    lesson.train_all(config, workdir / "digits")
    assert [path.stat().st_mtime_ns for path in results] == times


@pytest.mark.slow
def test_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESSON_STEPS", str(SMALL_STEPS))
    monkeypatch.delenv("LESSON_DATA", raising=False)
    notebook = nbformat.from_dict(NOTEBOOK)
    resources = {"metadata": {"path": str(REPOSITORY)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 12
