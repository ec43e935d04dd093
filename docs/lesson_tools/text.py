"""Numbers in the texts of the lesson, kept equal to those that were measured.

A text quotes a number as `[0.09][beta1.2d.noise_share]`, a Markdown link with the
number's name; `[42%][beta1.16d.coverage%]` is a share written as a percentage. The last
lines of the text say where the links lead.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from vae_jax.errors import DataError

QUOTED = re.compile(r"\[([^\]\[]*)\]\[([a-z0-9_.]+)(%?)\]")
_TARGET = re.compile(r"^\[[a-z0-9_.]+%?\]: .*\n?", re.MULTILINE)


def fill(text: str, numbers: Mapping[str, Any], link: str) -> str:
    """A text with every quoted number brought up to date.

    Args:
        text: Markdown.
        numbers: by name.
        link: what each number links to.

    Returns:
        The text; a link's title is the number's name.

    Raises:
        DataError: the text quotes a number that is not there.
    """

    def quote(match: re.Match[str]) -> str:
        _, name, percent = match.groups()
        if numbers.get(name) is None:
            raise DataError(f"the text quotes the number {name}, which has no value")
        return f"[{in_prose(numbers[name], bool(percent))}][{name}{percent}]"

    body = QUOTED.sub(quote, _TARGET.sub("", text)).rstrip("\n")
    names = sorted({name + percent for _, name, percent in QUOTED.findall(body)})
    targets = "".join(f'[{name}]: {link} "{name}"\n' for name in names)
    return f"{body}\n\n{targets}" if names else f"{body}\n"


def in_prose(value: str | float, percent: bool = False) -> str:
    """A number as running text writes it, without an exponent.

    Args:
        value: text and whole numbers are left as they are; others get two digits below
            1, three from 1 and all before the point from 100.
        percent: write a share in percent, whole from 10 and tenths below.
    """
    if isinstance(value, str | int):
        return str(value)
    size = abs(100 * value if percent else value)
    if size == 0 or size >= (9.95 if percent else 100):
        decimals = 0
    elif percent:
        decimals = 1
    else:
        decimals = (2 if size >= 1 else 1) - math.floor(math.log10(size))
    text = f"{size:.{decimals}f}" + "%" * percent
    return f"−{text}" if value < 0 else text
