"""Charts as SVG: elements, text, and files that stand alone.

Colours are CSS variables of template/chart.css, which a page includes and a file holds:
a chart is light or dark as its reader's screen is. What a mark means stands in a
`<title>` inside it, which every browser shows; the report's script shows it sooner.
"""

import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from vae_jax.files import replace_file
from vae_jax.paths import PathLike

STYLE = pathlib.Path(__file__).parent / "template" / "chart.css"
TEXT = 13  # height of letters, in units of a chart
LETTER = 7.2  # width of one of them, on average
NUM_SERIES = 8  # colours and shapes there are: arrangement.MAX_LINES
# Outlines around 0, 0 that differ for readers who don't tell colours apart.
SHAPES = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0Z",
    "M-4-4H4V4H-4Z",
    "M0-5.5L5 0L0 5.5L-5 0Z",
    "M-5-4H5L0 5Z",
    "M-5 4H5L0-5Z",
    "M-2-5H2V-2H5V2H2V5H-2V2H-5V-2H-2Z",
    "M-5-5L0-2L5-5L2 0L5 5L0 2L-5 5L-2 0Z",
    "M-5 0L-3-5H3L5 0L3 5H-3Z",
)


def new(width: float, height: float, label: str) -> ET.Element:
    """An empty chart; `label` is what a screen reader says of it."""
    view_box = f"0 0 {width:g} {height:g}"
    return ET.Element("svg", {"viewBox": view_box, "role": "img", "aria-label": label})


def add(
    parent: ET.Element, tag: str, text: str = "", **attributes: str | float
) -> ET.Element:
    """Adds an element.

    Args:
        parent: what it is added to.
        tag: its name.
        text: its text.
        **attributes: its attributes, numbers with one decimal; `class_` is class, and
            an underscore elsewhere is a hyphen.
    """
    written = {
        name.rstrip("_").replace("_", "-"): _attribute(value)
        for name, value in attributes.items()
    }
    element = ET.SubElement(parent, tag, written)
    element.text = text or None
    return element


def add_text(
    parent: ET.Element,
    text: str,
    x: float,
    y: float,
    anchor: str = "",
    **attributes: str | float,
) -> None:
    """Adds a text that begins at a place, or as `anchor`, the text-anchor, says."""
    if anchor:
        attributes = {"text_anchor": anchor, **attributes}
    add(parent, "text", text, x=x, y=y, **attributes)


def _attribute(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 1):g}"


def add_line(
    parent: ET.Element, start: tuple[float, float], end: tuple[float, float], kind: str
) -> None:
    """Adds a straight line of a class of chart.css."""
    (x1, y1), (x2, y2) = start, end
    add(parent, "line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def add_path(
    parent: ET.Element, places: Sequence[tuple[float, float]], kind: str
) -> None:
    """Adds a line through places."""
    if len(places) > 1:
        steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        add(parent, "path", d=f"M{steps}", class_=kind)


def add_mark(
    parent: ET.Element, place: tuple[float, float], series: int, tip: str
) -> None:
    """Adds the mark of a series, with what is said when it is pointed at."""
    x, y = place
    number = series % NUM_SERIES
    at = f"translate({x:.1f} {y:.1f})"
    mark = add(parent, "g", class_=f"mark s{number}", transform=at)
    add(mark, "title", tip)
    add(mark, "circle", r=11, class_="reach")  # easier to point at
    add(mark, "path", d=SHAPES[number])


def width_of(text: str) -> float:
    """About how wide a text is."""
    return LETTER * len(text)


def shortened(text: str, length: int) -> str:
    """At most so many letters of a text."""
    return text if len(text) <= length else text[: length - 1] + "…"


def markup(chart: ET.Element) -> str:
    """A chart as part of a page."""
    return ET.tostring(chart, encoding="unicode")


def write(chart: ET.Element, path: PathLike) -> None:
    """Writes a chart as a file of its own, with its colours; atomically."""
    alone = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **chart.attrib})
    add(alone, "style", STYLE.read_text("utf-8"))
    alone.extend(chart)
    replace_file(path, ET.tostring(alone, encoding="utf-8", xml_declaration=True))
