"""The explorer's page as a reader uses it, in headless Chromium; and its size."""

import dataclasses
import json
import re
import time

import numpy as np
import pytest

from tests import chromium
from vae_jax.errors import ConfigError, DataError
from vae_jax.report import explorer
from vae_jax.report.explorer import Axis, Explored, HeldOut, write_explorer

NUM, SIDE = 40, 32  # images, and pixels of each side
WIDTHS = {"desktop": 1280, "phone": 390}
needs_chromium = pytest.mark.skipif(
    chromium.EXECUTABLE is None, reason="needs chromium on the PATH; there is none"
)


def lattice(axes: list[Axis], num_labels: int = 1) -> np.ndarray:
    """Images with a quarter for each axis, as bright as the point is far along it.

    The mixture of the corners of a cell is exact for these. The last quarter is as
    bright as the label is late.
    """
    parts = [(np.array(a.values) - a.values[0]) / np.ptp(a.values) for a in axes]
    shares = np.stack(np.meshgrid(*parts, indexing="ij"))
    images = np.zeros((num_labels, *shares.shape[1:], SIDE, SIDE, 1))
    half = SIDE // 2
    for k, share in enumerate(shares):
        top, left = half * (k // 2), half * (k % 2)
        images[..., top : top + half, left : left + half, 0] = share[..., None, None]
    for label in range(1, num_labels):
        images[label, ..., half:, half:, :] = label / (num_labels - 1)
    return images


def explored(name: str, axes: list[Axis], radius: float, **changes) -> Explored:
    """A run whose codes lie on a circle of its map."""
    angles = np.linspace(0, 2 * np.pi, NUM, endpoint=False)
    means = np.zeros((NUM, len(axes)))
    means[:, 0], means[:, 1] = radius * np.cos(angles), radius * np.sin(angles)
    run = Explored(
        name=name,
        numbers=[("ELBO", "−100 nats")],
        axes=axes,
        others=0,
        lattice=lattice(axes),
        decoded=np.full((NUM, SIDE, SIDE, 1), 0.5),
        means=means,
        variances=np.full(means.shape, 0.04),
        apart=np.zeros(NUM),
        beyond=np.zeros(NUM),
        reach=4.0,  # two standard deviations of 0.2
        draws=means / 2,
        has_standard_prior=True,
    )
    return dataclasses.replace(run, **changes)


# Where the values are closer together must not matter.
EIGHT = [-4, -2, -1.5, -1, 0, 0.5, 3.5, 4]
FLAT = [Axis("z[0]", EIGHT, 1.5), Axis("z[1]", [-4, 0, 4], 1.2)]
DEEP = [
    Axis("z[4]", [-2, -1, 2]),
    Axis("z[1]", [-2, 0, 1, 2]),
    Axis("z[7]", [-1, 0.5, 1]),
]
RUNS = [
    explored("weight <1>", FLAT, radius=2.0),
    explored(
        "conditional",
        DEEP,
        radius=1.0,
        others=5,
        lattice=lattice(DEEP, 2),
        labels=["left", "right"],
        given=[n % 2 for n in range(NUM)],
        has_standard_prior=False,
    ),
]
HELDOUT = HeldOut(
    np.linspace(0, 1, NUM)[:, None, None, None] * np.ones((NUM, SIDE, SIDE, 1)),
    labels=np.arange(NUM) % 3 - 1,  # a third has no label
    class_names=["cat", "dog"],
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


def opened(tab, file, width=1280, scheme="light", touch=False):
    """The page, ready, at the code of the first image."""
    scheme = {"name": "prefers-color-scheme", "value": scheme}
    tab.call("Emulation.setEmulatedMedia", features=[scheme])
    tab.call("Emulation.setTouchEmulationEnabled", enabled=touch)
    tab.open(file, width)
    deadline = time.monotonic() + chromium.TIMEOUT_S
    while not tab.run('"ready" in document.documentElement.dataset'):
        assert time.monotonic() < deadline, tab.events
        time.sleep(0.02)
    return tab


def point(page) -> list[float]:
    """Where the sliders say that the point is."""
    sliders = 'document.querySelectorAll("#sliders input")'
    axes = page.run("state.run.axes")
    shares = page.run(f"[...{sliders}].map((input) => Number(input.value))")
    pairs = zip(axes, shares, strict=True)
    return [a["low"] + s * (a["high"] - a["low"]) for a, s in pairs]


def quarters(page, canvas="here") -> list[float]:
    """Brightness in the middle of each quarter, 0 to 1."""
    pixels = f'at("{canvas}").getContext("2d").getImageData(0, 0, {SIDE}, {SIDE}).data'
    data = np.array(page.run(f"[...{pixels}]")).reshape(SIDE, SIDE, 4) / 255
    middle = [SIDE // 4, 3 * SIDE // 4]
    return data[np.ix_(middle, middle)][..., 0].ravel().tolist()


def on_screen(page, *z: float) -> tuple[float, float]:
    """Where a point of the map is in the window."""
    page.run('at("map").scrollIntoView({block: "center"})')
    box = page.run('at("map").getBoundingClientRect().toJSON()')
    a, b = page.run("state.run.axes.slice(0, 2)")
    x = box["left"] + box["width"] * (z[0] - a["low"]) / (a["high"] - a["low"])
    y = box["bottom"] - box["height"] * (z[1] - b["low"]) / (b["high"] - b["low"])
    return x, y


def mouse(page, kind: str, z: tuple[float, float]) -> None:
    x, y = on_screen(page, *z)
    page.call(
        "Input.dispatchMouseEvent",
        type=f"mouse{kind}",
        x=x,
        y=y,
        button="left",
        buttons=int(kind != "Released"),
        clickCount=1,
    )


def press(page, key: str, shift: bool = False) -> None:
    for kind in ("keyDown", "keyUp"):
        page.call(
            "Input.dispatchKeyEvent", type=kind, key=key, code=key, modifiers=8 * shift
        )


def choose(page, field: str, number: int) -> None:
    """Presses the pill of a choice and waits until it is shown."""
    page.run(f'at("{field}").querySelectorAll("input")[{number}].click()')
    page.run("new Promise((done) => setTimeout(done, 100))")


def near(values, wanted, tolerance=0.02) -> bool:
    return np.allclose(values, wanted, atol=tolerance)


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
    broken = dataclasses.replace(run, means=np.full((30, 2), np.nan))
    with pytest.raises(DataError, match="not finite"):
        write_explorer(path, many, [broken], title="t")
