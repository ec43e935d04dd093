"""The explorer's page as a reader uses it, in headless Chromium; and its size."""

import dataclasses
import json
import re

import numpy as np
import pytest

from tests import chromium
from tests.report.explorer_page import (
    HELDOUT,
    NUM,
    RUNS,
    choose,
    mouse,
    near,
    on_screen,
    opened,
    point,
    press,
    quarters,
)
from vae_jax.errors import ConfigError, DataError
from vae_jax.report import explorer
from vae_jax.report.explorer import HeldOut, write_explorer

WIDTHS = {"desktop": 1280, "phone": 390}
needs_chromium = pytest.mark.skipif(
    chromium.EXECUTABLE is None, reason="needs chromium on the PATH; there is none"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    write_explorer(path, HELDOUT, RUNS, title="A <page> & more")
    return path


@pytest.fixture(scope="module")
def tab():
    with chromium.browser() as page:
        yield page


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_all_is_well_in_light_and_dark(tab, file, width):
    grounds = []
    for scheme in ("light", "dark"):
        page = opened(tab, file, width, scheme)
        assert page.run("document.title") == "A <page> & more"
        assert page.run("document.documentElement.scrollWidth") <= width
        assert page.of("Log.entryAdded") == []
        assert page.of("Runtime.consoleAPICalled") == []
        assert page.of("Runtime.exceptionThrown") == []
        requests = page.of("Network.requestWillBeSent")
        urls = {event["request"]["url"].partition(":")[0] for event in requests}
        assert urls <= {"file", "data"}
        ground = "getComputedStyle(document.body).backgroundColor"
        grounds.append(sum(map(int, re.findall(r"\d+", page.run(ground)))))
        picture = page.run('at("here").getBoundingClientRect().toJSON()')
        map_box = page.run('at("map").getBoundingClientRect().toJSON()')
        assert map_box["width"] == pytest.approx(map_box["height"])
        # What is decoded is in sight beside the map, or right below it.
        assert max(map_box["bottom"], picture["bottom"]) < 900
        if width < 600:
            assert map_box["width"] > 0.9 * width
            assert picture["top"] > map_box["bottom"]
    assert grounds[0] > 600 > 200 > grounds[1]


@needs_chromium
def test_everything_that_can_be_reached_has_a_name(tab, file):
    page = opened(tab, file)
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    }
    roles = {"radio", "slider", "button", "application", "image", "group"}
    of_roles = [one for one in named if one[0] in roles]
    assert all(name for _, name in of_roles)
    assert ("radio", "weight <1>") in named
    assert ("button", "dog") in named
    assert any(role == "slider" and "z[1]" in name for role, name in named)
    # The map is a stop of the Tab key, and the decoded image says where it is.
    assert page.run('at("map").tabIndex') == 0
    assert "z[0] = 2.00" in page.run('at("here").ariaLabel')


@needs_chromium
def test_dragging_decodes_the_mixture_at_the_point(tab, file):
    page = opened(tab, file)
    mouse(page, "Pressed", (-1.0, 0.5))
    assert near(point(page), (-1.0, 0.5))
    for z in [(0.0, 0.0), (3.1, -2.3), (-3.3, 1.7)]:
        mouse(page, "Moved", z)
        assert near(point(page), z)
        shares = [(value + 4) / 8 for value in z]
        assert near(quarters(page), [*shares, 0, 0])
    mouse(page, "Moved", (9.0, 0.0))  # beyond the map
    assert near(point(page), (4.0, 0.0))
    mouse(page, "Released", (3.0, 1.0))
    before = point(page)
    mouse(page, "Moved", (0.0, 0.0))
    assert point(page) == before


@needs_chromium
def test_a_finger_drags_the_point_and_does_not_scroll(tab, file):
    page = opened(tab, file, 390, touch=True)
    start, end = on_screen(page, -1.0, 1.0), on_screen(page, 2.0, -3.0)
    before = page.run("scrollY")
    for kind, at in [("Start", start), ("Move", end)]:
        touches = [{"x": at[0], "y": at[1]}]
        page.call("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=touches)
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert near(point(page), (2.0, -3.0), 0.05)
    assert page.run("scrollY") == before
    assert near(quarters(page), [6 / 8, 1 / 8, 0, 0])


@needs_chromium
def test_keys_move_the_point(tab, file):
    page = opened(tab, file)
    page.run('at("map").focus()')
    assert near(point(page), (2.0, 0.0))
    press(page, "ArrowLeft")
    press(page, "ArrowUp", shift=True)
    assert near(point(page), (2.0 - 0.08, 0.8))
    for _ in range(6):
        press(page, "ArrowUp", shift=True)
    assert near(point(page), (2.0 - 0.08, 4.0))  # the edge
    assert page.run("scrollY") == 0
    assert near(quarters(page), [(6 - 0.08) / 8, 1, 0, 0])
    # The sliders are the browser's own, which know keys by themselves.
    page.run('document.querySelector("#sliders input").focus()')
    press(page, "Home")
    assert near(point(page), (-4.0, 4.0))


@needs_chromium
def test_a_hole_is_told_from_codes(tab, file):
    page = opened(tab, file)
    for z, is_hole in [((2.0, 0.0), False), ((0.0, 0.0), True), ((0.0, 2.3), False)]:
        mouse(page, "Pressed", z)
        mouse(page, "Released", z)
        assert page.run('at("verdict").classList.contains("hole")') == is_hole
        assert ("hole" in page.run('at("verdict").textContent')) == is_hole
    # The image at the top of the circle is beside the decoded one, with its own code's.
    top = NUM // 4
    assert near(quarters(page, "nearest"), top / (NUM - 1))
    assert near(quarters(page, "own"), 0.5)
    assert page.run("state.nearest") == top
    assert page.run('at("label").textContent') == ", label cat"  # 10 % 3 - 1 = 0


@needs_chromium
def test_switching_follows_the_image_to_its_code_in_the_other_run(tab, file):
    page = opened(tab, file)
    mouse(page, "Pressed", (0.0, -2.2))
    image = 3 * NUM // 4
    assert page.run("state.nearest") == image
    assert page.run('at("prior").querySelectorAll("circle").length') == 2
    assert page.run('at("labels").hidden')

    choose(page, "runs", 1)
    assert near(point(page), (0.0, -1.0, 0.0))
    assert page.run('document.querySelectorAll("#sliders input").length') == 3
    assert page.run('at("prior").querySelectorAll("circle").length') == 0
    assert page.run('at("prior").querySelectorAll("path").length') == NUM
    assert "other 5 dimensions" in page.run('at("prior-words").textContent')
    # Image 30 is given "left", and is decoded so.
    assert near(quarters(page), [0.5, 0.25, 0.5, 0])
    assert page.run("state.nearest") == image
    choose(page, "labels", 1)
    assert near(quarters(page), [0.5, 0.25, 0.5, 1])
    assert page.run("state.nearest") in (image - 1, image + 1)  # of the label "right"

    third = 'document.querySelectorAll("#sliders input")[2]'
    page.run(f"{third}.value = 1; {third}.dispatchEvent(new Event('input'))")
    assert near(quarters(page), [0.5, 0.25, 1, 1])

    choose(page, "runs", 0)
    assert page.run('document.querySelectorAll("#sliders input").length') == 2
    assert near(np.hypot(*point(page)), 2.0)


@needs_chromium
def test_buttons_go_to_codes_and_to_draws(tab, file):
    page = opened(tab, file)
    page.run('at("image").click()')
    assert near(point(page), RUNS[0].means[1])
    page.run('at("draw").click()')
    assert near(point(page), RUNS[0].draws[1])
    dim = 'document.querySelectorAll("#codes .faint").length'
    names = '[...at("legend").children].map((button) => button.textContent)'
    assert page.run(names) == ["cat", "dog"]
    page.run('at("legend").children[1].click()')
    dogs = int((HELDOUT.labels == 1).sum())
    assert page.run(dim) == NUM - dogs
    page.run('at("legend").children[1].click()')
    assert page.run(dim) == 0


def content(path) -> dict:
    """The data in a page."""
    found = re.search(
        r'<script type="application/json" id="content">(.*?)</script>',
        path.read_text("utf-8"),
    )
    return json.loads(found[1])


def test_the_policy_is_strict_and_names_cannot_leave_their_place(file, tmp_path):
    html = file.read_text("utf-8")
    assert "default-src 'none'; img-src data:" in html
    assert "<title>A &lt;page&gt; &amp; more</title>" in html
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)
    evil = dataclasses.replace(RUNS[0], name="</script><img src=x>")
    write_explorer(tmp_path / "page.html", HELDOUT, [evil], title="t")
    assert "</script><img" not in (tmp_path / "page.html").read_text("utf-8")
    assert content(tmp_path / "page.html")["runs"][0]["name"] == evil.name


def test_the_size_is_bounded(tmp_path, monkeypatch):
    """Images that do not compress are stored at a lower quality, or refused."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(size=(1, 8, 3, 32, 32, 1))
    run = dataclasses.replace(RUNS[0], lattice=noise)
    path = tmp_path / "page.html"
    full = write_explorer(path, HELDOUT, [run], title="t")
    assert path.stat().st_size == full
    monkeypatch.setattr(explorer, "MOST_BYTES", full - 3_000)
    assert write_explorer(path, HELDOUT, [run], title="t") <= full - 3_000
    monkeypatch.setattr(explorer, "MOST_BYTES", 10_000)
    with pytest.raises(ConfigError, match=r"1 runs? .* choose fewer runs"):
        write_explorer(path, HELDOUT, [run], title="t")


def test_colours_follow_the_labels(tmp_path):
    images = np.zeros((30, 4, 4, 3))
    path = tmp_path / "page.html"
    many = HeldOut(images, labels=np.arange(30) * 2)
    coloured = np.zeros((1, 8, 3, 4, 4, 3))
    run = dataclasses.replace(RUNS[0], decoded=images, lattice=coloured)
    write_explorer(path, many, [run], title="t")
    found = content(path)["heldout"]
    assert found["classes"][3]["name"] == "6"
    assert len({one["color"] for one in found["classes"]}) == 30
    assert found["labels"] == list(range(30)) and found["listed"]
    write_explorer(path, HeldOut(images), [run], title="t")
    assert content(path)["heldout"]["labels"] == [-1] * 30
    for changes in ({"means": np.full((30, 2), np.nan)}, {"reach": np.inf}):
        broken = dataclasses.replace(run, **changes)
        with pytest.raises(DataError, match="not finite"):
            write_explorer(path, many, [broken], title="t")


def test_an_infinite_rate_is_none(tmp_path):
    """JSON has no infinity: a browser would show an empty page."""
    axes = [dataclasses.replace(axis, rate=np.inf) for axis in RUNS[0].axes]
    run = dataclasses.replace(RUNS[0], axes=axes)
    write_explorer(tmp_path / "page.html", HELDOUT, [run], title="t")
    (found,) = content(tmp_path / "page.html")["runs"]
    assert [axis["rate"] for axis in found["axes"]] == [None, None]
