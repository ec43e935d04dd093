"""The drawing of an autoencoder as an hourglass, and of what a VAE changes in it: SVG.

Its colours follow those of the page, light or dark; behind it lies a panel, so that it
can be read on any.
"""

import base64
import dataclasses
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

WIDTH, HEIGHT, MIDDLE = 600, 264, 130
IMAGE = 66  # side of the two images
BAR = 13  # width of a layer


@dataclasses.dataclass(frozen=True)
class Words:
    """What stands in the drawing, in one language.

    Attributes:
        alone: what it shows of an autoencoder, for those who can't see it.
        drawn: what it shows of a VAE.
    """

    image: str
    encoder: str
    code: str
    decoder: str
    rebuilt: str
    mean: str
    std: str
    draw: str
    alone: str
    drawn: str


WORDS = {  # by what stands between the name of a text and ".md"
    "": Words(
        "image x",
        "encoder",
        "code z",
        "decoder",
        "output",
        "mean μ",
        "std σ",
        "random ε",
        "An autoencoder: the layers narrow from an image to the code and widen again",
        "A VAE: the encoder ends in a mean and a standard deviation, with which a code"
        " is drawn",
    ),
    ".es": Words(
        "imagen x",
        "codificador",
        "código z",
        "decodificador",
        "salida",
        "media μ",
        "desv. σ",
        "azar ε",
        "Un autoencoder: las capas se estrechan de una imagen al código y se vuelven a"
        " ensanchar",
        "Un VAE: el codificador acaba en una media y una desviación típica, con las que"
        " se muestrea un código",
    ),
}

STYLE = """\
  :root { color-scheme: light dark; }
  .panel { fill: #ffffff; }
  text { font: 16px system-ui, sans-serif; text-anchor: middle; fill: #1c1e21; }
  .small { font-size: 14px; fill: #55595f; }
  .encoder { fill: #3f90da; } .decoder { fill: #e76300; } .code { fill: #832db6; }
  .between { opacity: 0.22; }
  .line { stroke: #55595f; stroke-width: 1.5; fill: none; }
  .head { fill: #55595f; }
  image { image-rendering: pixelated; }
  @media (prefers-color-scheme: dark) {
    .panel { fill: #131416; } text { fill: #e6e8ea; }
    .small { fill: #b4b9bf; } .line { stroke: #b4b9bf; } .head { fill: #b4b9bf; }
    .code { fill: #b573e0; }
  }"""


def draw(
    sizes: Sequence[int], images: Sequence[np.ndarray], words: Words, cloud: bool
) -> str:
    """An autoencoder, or a VAE, from left to right.

    Args:
        sizes: how many numbers there are in each layer, from the image to the code.
        images: what goes in and what comes out, [H, W, 1], values in [0, 1].
        words: the labels.
        cloud: whether the encoder ends in a mean and a standard deviation, a VAE.

    Returns:
        The text of an SVG file.
    """
    narrowing, widening = list(sizes[:-1]), list(sizes[-2::-1])
    columns = len(narrowing) + 1 + len(widening) + 2 * cloud
    left, right = IMAGE + 34.0, WIDTH - IMAGE - 34.0
    places = np.linspace(left, right, columns)
    before, after = places[: len(narrowing)], places[-len(widening) :]
    code = places[-len(widening) - 1]
    cloud_at = places[len(narrowing)]
    parts = []

    ends = [
        ("encoder", before, narrowing, cloud_at),
        ("decoder", after, widening, code),
    ]
    for kind, xs, layer_sizes, end in ends:
        layers = list(zip(xs, layer_sizes, strict=True))
        inner = (end, sizes[-1])
        ordered = [*layers, inner] if kind == "encoder" else [inner, *layers]
        parts += [
            _between(kind, *one, *other)
            for one, other in zip(ordered, ordered[1:], strict=False)
        ]
        parts += [_bar(kind, x, size) for x, size in layers]
        middle = (ordered[0][0] + ordered[-1][0]) / 2
        parts.append(_text(middle, HEIGHT - 12, getattr(words, kind)))

    if cloud:
        gap = _height(sizes[-1]) / 2 + 7
        for at, label, sign in ((-gap, words.mean, -1), (gap, words.std, 1)):
            middle = MIDDLE + at
            parts.append(_bar("encoder", cloud_at, sizes[-1], middle))
            edge = middle + sign * (_height(sizes[-1]) / 2 + 11) + 5
            parts.append(_text(cloud_at + 4, edge, label))
            parts.append(_arrow(cloud_at + 10, middle, code - 11, MIDDLE + at / 5))
        parts.append(_text(code, 30, words.draw))
        parts.append(_arrow(code, 37, code, MIDDLE - _height(sizes[-1]) / 2 - 6))
    parts.append(_bar("code", code, sizes[-1]))
    below = MIDDLE + _height(sizes[-1]) / 2
    parts.append(_text(code, below + 16, f"{sizes[-1]}", "small"))
    parts.append(_text(code, below + 35, words.code))

    for x, image, label in (
        (8.0, images[0], words.image),
        (WIDTH - 8.0 - IMAGE, images[1], words.rebuilt),
    ):
        parts.append(_image(x, image))
        parts.append(_text(x + IMAGE / 2, MIDDLE + IMAGE / 2 + 20, label))
    parts.append(_arrow(IMAGE + 11, MIDDLE, left - BAR / 2 - 3, MIDDLE))
    parts.append(_arrow(right + BAR / 2 + 3, MIDDLE, WIDTH - IMAGE - 11, MIDDLE))

    title = words.drawn if cloud else words.alone
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' width="{1.5 * WIDTH:g}" height="{1.5 * HEIGHT:g}" role="img">\n'
        f"<title>{title}</title>\n"
        f"<style>\n{STYLE}\n</style>\n"
        f'<rect class="panel" width="{WIDTH}" height="{HEIGHT}"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _height(size: int) -> float:
    """On a logarithmic scale: 2 numbers would else be too few to be seen beside 784."""
    return 10 + 18 * math.log2(size)


def _bar(kind: str, x: float, size: int, middle: float = MIDDLE) -> str:
    height = _height(size)
    bar = (
        f'<rect class="{kind}" x="{x - BAR / 2:.1f}" y="{middle - height / 2:.1f}"'
        f' width="{BAR}" height="{height:.1f}" rx="3"/>'
    )
    if middle != MIDDLE or kind == "code":
        return bar
    return bar + _text(x, middle + height / 2 + 16, f"{size}", "small")


def _between(kind: str, x: float, size: int, other_x: float, other_size: int) -> str:
    one, other = _height(size) / 2, _height(other_size) / 2
    corners = [
        (x, MIDDLE - one),
        (other_x, MIDDLE - other),
        (other_x, MIDDLE + other),
        (x, MIDDLE + one),
    ]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
    return f'<polygon class="{kind} between" points="{points}"/>'


def _text(x: float, y: float, text: str, look: str = "") -> str:
    kind = f' class="{look}"' if look else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}">{text}</text>'


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    angle = math.atan2(to_y - y, to_x - x)
    turn = f"translate({to_x:.1f} {to_y:.1f}) rotate({math.degrees(angle):.1f})"
    end_x, end_y = to_x - 5 * math.cos(angle), to_y - 5 * math.sin(angle)
    return (
        f'<path class="line" d="M{x:.1f} {y:.1f} L{end_x:.1f} {end_y:.1f}"/>'
        f'<path class="head" d="M0 0 L-8 -4 L-8 4 Z" transform="{turn}"/>'
    )


def _image(x: float, image: np.ndarray) -> str:
    bytes_of = io.BytesIO()
    grey = np.rint(255 * np.clip(image[..., 0], 0, 1)).astype(np.uint8)
    Image.fromarray(grey).save(bytes_of, format="png", optimize=True)
    data = base64.b64encode(bytes_of.getvalue()).decode()
    return (
        f'<image x="{x:.1f}" y="{MIDDLE - IMAGE / 2:.1f}" width="{IMAGE}"'
        f' height="{IMAGE}" href="data:image/png;base64,{data}"/>'
    )
