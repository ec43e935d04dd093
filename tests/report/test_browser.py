"""report.html as a reader sees it: opened in headless Chromium."""

import numpy as np
import pytest
from PIL import Image

from tests import chromium
from vae_jax.evaluation import measures
from vae_jax.report.page import write_report

pytestmark = pytest.mark.skipif(
    chromium.EXECUTABLE is None, reason="needs chromium on the PATH; there is none"
)
WIDTHS = {"desktop": 1280, "phone": 390}
COLUMN = """[...document.querySelectorAll("#runs tbody tr")]
    .map((row) => row.cells[%d].dataset.value)"""
HEAD = 'document.querySelectorAll("#runs thead th")[%d]'


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Four weights with two seeds; one run failed, one has no ELBO."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    rows, folders = [], []
    for weight in (0.0, 0.5, 4.0, 10.0):
        for seed in (0, 1):
            name = f"kl_weight={weight:g},seed={seed}"
            row = {"name": name, "hparams.kl_weight": weight, "seed": seed}
            row |= {"elbo": -rng.uniform(5, 200), "rate": rng.uniform(1, 100)}
            row |= {"distortion": rng.uniform(60, 90), "coverage": rng.uniform(0, 1)}
            row |= {"real_coverage": 0.95}
            rows.append(row)
            folders.append(folder / name)
            (folder / name / "figures").mkdir(parents=True)
            pixels = rng.integers(0, 255, (300, 400), np.uint8)
            for figure in ("samples", "reconstructions", "interpolations"):
                path = folder / name / "figures" / f"{figure}.png"
                Image.fromarray(pixels).save(path)
    rows[1] = {k: rows[1][k] for k in ("name", "hparams.kl_weight", "seed")}
    rows[1]["failed_at_step"] = 12
    rows[4]["elbo"] = None
    return write_report(
        folder / "out",
        rows,
        folders,
        quantities=measures.quantities(),
        swept=["hparams.kl_weight"],
        config={"objective": {"kl_weight": 1.0}},
        commands=["python -m experiments.ablate --config=configs/digits.py"],
        title="A <report> & more",
    )


@pytest.fixture(scope="module")
def page():
    with chromium.browser() as page:
        yield page


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_all_is_well(page, report, width):
    page.open(report, width)
    images = 'document.querySelectorAll("main img")'
    assert page.run(f"{images}.length") == 5 + 4 * 3  # charts, and three a setting
    assert page.run(f"[...{images}].every((image) => image.naturalWidth > 0)")
    assert page.run("document.title") == "A <report> & more"
    # A page that is wider than the window would scroll sideways.
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.of("Log.entryAdded") == []
    assert page.of("Runtime.consoleAPICalled") == []
    assert page.of("Runtime.exceptionThrown") == []
    requested = {
        event["request"]["url"] for event in page.of("Network.requestWillBeSent")
    }
    assert report.resolve().as_uri() in requested
    assert {url.partition(":")[0] for url in requested} <= {"file", "data"}


def test_a_heading_sorts(page, report):
    page.open(report, 1280)
    elbo = page.run(
        '[...document.querySelectorAll("#runs thead button")]'
        '.findIndex((button) => button.textContent === "ELBO")'
    )
    before = page.run(COLUMN % elbo)
    numbers = sorted(float(value) for value in before if value)
    assert before != sorted(before)
    assert before.count("") == 2  # the failed run and the missing value
    press = f'{HEAD % elbo}.querySelector("button").click()'

    page.run(press)
    after = page.run(COLUMN % elbo)
    assert [float(value) for value in after[:-2]] == numbers
    assert after[-2:] == ["", ""]
    assert page.run(f'{HEAD % elbo}.getAttribute("aria-sort")') == "ascending"

    page.run(press)
    after = page.run(COLUMN % elbo)
    assert [float(value) for value in after[:-2]] == numbers[::-1]
    assert after[-2:] == ["", ""]
    assert page.run(f'{HEAD % elbo}.getAttribute("aria-sort")') == "descending"

    # 10 comes after 4, as a number, and the mark moves to this heading.
    weight = 2
    page.run(f'{HEAD % weight}.querySelector("button").click()')
    weights = ["0.0", "0.0", "0.5", "0.5", "4.0", "4.0", "10.0", "10.0"]
    assert page.run(COLUMN % weight) == weights
    assert page.run('document.querySelectorAll("#runs [aria-sort]").length') == 1


def test_a_picture_is_enlarged_and_put_away(page, report):
    page.open(report, 390)
    picture = 'document.querySelector("#pictures .zoom")'
    page.run(f"{picture}.click()")
    assert page.run('document.querySelector("dialog").open')
    assert page.run(
        f'document.querySelector("dialog img").src === {picture}.firstChild.src'
    )
    page.run('document.querySelector("dialog").click()')
    assert not page.run('document.querySelector("dialog").open')
