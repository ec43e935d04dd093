"""Formulas as pictures within the page, drawn while the site is built.

Sphinx's own choice is MathJax, which every reader would load from another host. Here
ziamath draws each formula as SVG in the colour of the text, so that a page needs no
script, no font and no network. Beside it stands the same formula as MathML, unseen, for
those who have the page read to them.
"""

from typing import Any

import ziamath
from docutils import nodes
from latex2mathml.converter import convert

SIZE = 17  # pixels; STIX Two looks smaller than the sans serif of the text
# Each formula has its own outlines: shared ones would be found by names that other
# formulas of the page use as well.
ziamath.config.svg2 = False


def drawing(tex: str, display: bool) -> str:
    """A formula as HTML: SVG to be seen, and MathML to be read aloud."""
    found = ziamath.Latex(tex, size=SIZE, color="currentColor", inline=not display)
    below = found.getyofst()  # how far it reaches below the line, negative
    svg = found.svg().replace(
        "<svg ", f'<svg aria-hidden="true" style="vertical-align:{below:.1f}px" ', 1
    )
    spoken = convert(tex, display="block" if display else "inline")
    return f'{svg}<span class="spoken">{spoken}</span>'


def visit_inline(writer: Any, node: nodes.math) -> None:
    """Writes a formula within a line."""
    writer.body.append(f'<span class="formula">{drawing(node.astext(), False)}</span>')
    raise nodes.SkipNode


def visit_block(writer: Any, node: nodes.math_block) -> None:
    """Writes a formula of its own; a wide one scrolls by itself."""
    writer.body.append(f'<div class="formula">{drawing(node.astext(), True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Registers the renderer `typeset` for `html_math_renderer`."""
    app.add_html_math_renderer("typeset", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
