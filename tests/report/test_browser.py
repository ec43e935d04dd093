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
    assert page.run(f"{images}.length") == 4 * 3  # three a setting
    charts = 'document.querySelectorAll("main svg")'
    assert page.run(f"{charts}.length") == 5
    box = "chart.getBoundingClientRect()"
    assert page.run(f"[...{charts}].every((chart) => {box}.height > 150)")
    # The letters of a chart stay legible on a phone.
    size = "getComputedStyle(chart).fontSize.slice(0, -2)"
    scale = f"{box}.width / chart.viewBox.baseVal.width"
    assert page.run(f"Math.min(...[...{charts}].map((chart) => {size} * {scale}))") > 10
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

    for order, ordered in (("descending", numbers[::-1]), ("ascending", numbers)):
        page.run(press)  # the best first, which is the largest ELBO
        after = page.run(COLUMN % elbo)
        assert [float(value) for value in after[:-2]] == ordered
        assert after[-2:] == ["", ""]
        assert page.run(f'{HEAD % elbo}.getAttribute("aria-sort")') == order

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


def test_the_first_screen_has_conclusion_table_and_chart(page, report):
    page.open(report, 1280)
    for selector in (".conclusion li", "#summary tbody tr:last-child", "#plane svg"):
        bottom = f'document.querySelector("{selector}").getBoundingClientRect().bottom'
        assert 0 < page.run(bottom) < 900
    table, chart = (
        page.run(f'document.querySelector("{s}").getBoundingClientRect().toJSON()')
        for s in ("#summary .scroll", "#plane svg")
    )
    assert table["right"] <= chart["left"] and chart["top"] < table["bottom"]
    strip = 'document.querySelector("#summary .strip")'
    assert page.run(f"{strip}.getBoundingClientRect().top") < 900


TIP = 'document.querySelector("#tip")'


def centre(page, selector):
    """The middle of an element, once the page has scrolled to it."""
    box = page.run(
        f"""new Promise((done) => {{
          const element = document.querySelector(`{selector}`);
          element.scrollIntoView({{ block: "center", behavior: "instant" }});
          requestAnimationFrame(() => requestAnimationFrame(() =>
            done(element.getBoundingClientRect().toJSON())));
        }})"""
    )
    return {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}


def test_a_mark_says_its_values_when_it_is_pointed_at(page, report):
    page.open(report, 1280)
    place = centre(page, "#fit svg .mark:last-of-type path")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
    assert not page.run(f"{TIP}.hidden")
    said = page.run(f"{TIP}.textContent")
    assert said.startswith("kl_weight 10\nELBO: −") and said.endswith(" nats")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    assert page.run(f"{TIP}.hidden")


def test_a_touch_and_the_keyboard_do_so_too(page, report):
    page.open(report, 390)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    place = centre(page, "#plane svg .mark path")
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[place])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert "distortion: " in page.run(f"{TIP}.textContent")
    box = page.run(f"{TIP}.getBoundingClientRect().toJSON()")
    assert 0 <= box["left"] and box["right"] <= 390
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)
    page.run('document.querySelector("#runs thead th[data-best] button").focus()')
    assert page.run(f"{TIP}.textContent").startswith("A lower bound of log p(x)")
    page.run(
        'document.activeElement.dispatchEvent(new KeyboardEvent("keydown", '
        '{key: "Escape", bubbles: true}))'
    )
    assert page.run(f"{TIP}.hidden")


def colors(page):
    """Of the page, of its text, and of texts and marks of a chart."""
    return [
        page.run(f'getComputedStyle(document.querySelector("{selector}")).{name}')
        for selector, name in (
            ("#summary", "backgroundColor"),
            ("h1", "color"),
            ("#plane text", "fill"),
            ("#plane .mark path", "fill"),
        )
    ]


def lightness(color):
    return sum(map(int, color.strip("rgb()").split(", "))) / 3


def test_it_is_dark_on_a_dark_screen_and_light_on_paper(page, report):
    page.open(report, 1280)
    light = colors(page)
    dark_screen = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.call("Emulation.setEmulatedMedia", features=dark_screen)
    dark = colors(page)
    page.call("Emulation.setEmulatedMedia", media="print", features=dark_screen)
    printed = colors(page)
    page.call("Emulation.setEmulatedMedia", media="", features=[])
    assert lightness(light[0]) > 240 > 60 > lightness(dark[0])
    for text in (1, 2):
        assert lightness(light[text]) < 60 < 200 < lightness(dark[text])
    assert lightness(light[3]) < lightness(dark[3])
    assert printed == light


def test_a_long_table_is_paged_and_sorted_as_a_whole(page, tmp_path):
    num = 250
    rows = [
        {"name": f"run {i}", "seed": i}
        | {"elbo": -100.0 - (7 * i) % num / 1000, "num_parameters": 652824}
        for i in range(num)
    ]
    rows[3]["elbo"] = None
    page.open(
        write_report(
            tmp_path / "out",
            rows,
            [tmp_path] * num,
            quantities=measures.quantities(),
            swept=[],
            config={},
            commands=[],
            title="many",
        ),
        1280,
    )
    said = 'document.querySelector(".pager output").textContent'
    turn = 'document.querySelector(".pager [data-step=\\"%d\\"]").click()'
    names = '[...document.querySelectorAll("#runs tbody th")].map((e) => e.textContent)'
    assert page.run(said) == "1 to 100"
    page.run('document.querySelector("#runs [data-best] button").click()')
    ordered = sorted(
        (row for row in rows if row["elbo"]), key=lambda row: row["elbo"], reverse=True
    )
    ordered.append(rows[3])  # what is missing comes last
    expected = [row["name"] for row in ordered]
    assert page.run(names) == expected[:100]
    assert page.run(said) == "1 to 100 of 250"
    for _ in range(3):  # there is no fourth page
        page.run(turn % 1)
    assert page.run(names) == expected[200:]
    assert page.run(said) == "201 to 250 of 250"
    assert page.run(
        'document.querySelector("#runs tbody tr").cells[3].textContent'
    ) == (f"−{-ordered[200]['elbo']:.4g}")
    last = 'document.querySelector("#runs tbody tr:last-child")'
    assert page.run(f"{last}.cells[3].textContent") == "–"
    assert page.run(f"{last}.cells[4].textContent") == "652,824"
    page.run(turn % -1)
    assert page.run(names) == expected[100:200]
    assert page.of("Runtime.exceptionThrown") == []
