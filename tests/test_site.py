"""The site of `make docs` as a reader sees it: opened in headless Chromium.

`make test-site` builds it and says in VAE_JAX_SITE where it lies.
"""

import functools
import http.server
import os
import pathlib
import re
import threading
from urllib.parse import urlsplit

import pytest

from tests import chromium

SITE = pathlib.Path(os.environ.get("VAE_JAX_SITE", "-"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (SITE / "index.html").is_file(),
        reason="needs the site: make test-site builds it",
    ),
    pytest.mark.skipif(
        chromium.EXECUTABLE is None, reason="needs chromium on the PATH; there is none"
    ),
]
WIDTHS = (1280, 390)
GENERATED = ("genindex.html", "py-modindex.html", "search.html")
WAIT = "new Promise((go) => setTimeout(go, 100))"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *args):
        del args


@pytest.fixture(scope="module")
def address():
    """Where the site is served, on this machine alone."""
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page():
    with chromium.browser() as page:
        yield page


def pages() -> list[str]:
    """All pages that somebody wrote."""
    found = (str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
    copied = ("_modules", "_downloads")  # of sources, and of files that pages lead to
    return sorted(
        name for name in found if name not in GENERATED and not name.startswith(copied)
    )


def until(page, condition):
    """Waits for a condition of the page, a JavaScript expression."""
    for _ in range(100):
        if page.run(condition):
            return
        page.run(WAIT)
    raise AssertionError(condition)


def complaints(page):
    """What the browser would print to its console."""
    events = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    return [event for method in events for event in page.of(method)]


def hosts(page):
    """Whom the page has asked for something."""
    requests = page.of("Network.requestWillBeSent")
    found = (urlsplit(event["request"]["url"]) for event in requests)
    return {part.netloc for part in found if part.scheme != "data"}


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_well(page, address, width):
    """Nothing fails, nothing is asked of another host, and nothing sticks out."""
    found = {}
    for name in pages():
        page.open(f"{address}/{name}", width)
        pictures = page.run(
            """Promise.all([...document.querySelectorAll("article img")].map(
                (image) => image.decode().then(() => image.alt, () => "broken")))"""
        )
        wide = page.run("document.documentElement.scrollWidth - innerWidth")
        faults = [
            *complaints(page),
            *(hosts(page) - {urlsplit(address).netloc}),
            *(alt for alt in pictures if alt in ("", "broken") or "/" in alt),
            *([f"{wide} pixels too wide"] if wide > 0 else []),
        ]
        found |= {name: faults} if faults else {}
    assert len(pages()) > 30
    assert found == {}


def test_titles_tell_the_pages_apart():
    titles = {}
    for name in pages():
        text = (SITE / name).read_text("utf-8")
        match = re.search("<title>(.*?)</title>", text, re.DOTALL)
        assert match is not None, name
        titles.setdefault(match[1], []).append(name)
    assert {title: names for title, names in titles.items() if len(names) > 1} == {}


def test_the_search_finds_a_page(page, address):
    page.open(f"{address}/index.html", 1280)
    page.run(
        """(() => {
            document.querySelector(".sidebar-search").value = "hole mass";
            document.querySelector(".sidebar-search-container").submit();
        })()"""
    )
    until(page, 'document.querySelectorAll("ul.search li").length > 0')
    found = page.run(
        '[...document.querySelectorAll("ul.search li a")].map((link) => link.pathname)'
    )
    assert "/regularity.html" in found
    assert complaints(page) == []


def test_a_block_of_code_is_copied(page, address):
    """With a real click, from which alone a browser lets a page copy."""
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    page.open(f"{address}/quickstart.html", 1280)
    until(page, 'document.querySelector("button.copybtn") !== null')
    box = page.run(
        """(() => {
            const button = document.querySelector("button.copybtn");
            button.scrollIntoView({block: "center", behavior: "instant"});
            const {x, y, width, height} = button.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        })()"""
    )
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        page.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=box[0],
            y=box[1],
            button="none" if kind == "mouseMoved" else "left",
            clickCount=0 if kind == "mouseMoved" else 1,
        )
    until(page, 'document.querySelector("button.copybtn.success") !== null')
    copied = page.run("navigator.clipboard.readText()")
    shown = page.run('document.querySelector("div.highlight pre").innerText')
    assert copied.strip() == shown.strip() != ""


def test_formulas_are_typeset(page, address):
    """Drawn in the colour of the text, on the line, and there to be read aloud."""
    page.open(f"{address}/faq.html", 1280)
    drawn = page.run(
        """[...document.querySelectorAll(".formula")].map((formula) => {
            const svg = formula.querySelector("svg");
            const box = svg.getBoundingClientRect();
            const path = getComputedStyle(svg.querySelector("path"));
            return [box.width, box.height, path.fill, getComputedStyle(formula).color,
                formula.querySelector("math") !== null];
        })"""
    )
    assert len(drawn) > 5
    for width, height, fill, colour, spoken in drawn:
        assert width > 5 and height > 5 and fill == colour and spoken
    seen = page.run(
        """[...document.querySelectorAll("article p")].map(
            (text) => text.innerText).join(" ")"""
    )
    assert "$" not in seen and "\\" not in seen


def test_a_page_in_spanish_says_so(page, address):
    for name, language in (("lesson", "en"), ("lesson.es", "es")):
        page.open(f"{address}/{name}.html", 1280)
        assert page.run("document.documentElement.lang") == language
