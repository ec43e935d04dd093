"""What the pages are made with: templates, data in a script, and pictures as text."""

import base64
import io
import json
import pathlib

import jinja2
from PIL import Image

TEMPLATE = pathlib.Path(__file__).parent / "template"


def template(name: str) -> jinja2.Template:
    """A page whose names, titles and configs, which are the user's, are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def script_json(content: object) -> str:
    """JSON that can stand in a script element: nothing in it ends the element."""
    # NaN and infinities are no JSON: a browser would refuse all of it.
    text = json.dumps(
        content, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.replace("<", "\\u003c")


def data_uri(image: Image.Image, quality: int) -> str:
    """A picture as text that a page can hold, in the format WebP.

    Args:
        image: the picture.
        quality: 0 to 100; a lower one makes a shorter text.
    """
    buffer = io.BytesIO()
    image.save(buffer, "webp", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
