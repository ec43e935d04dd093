"""The tables of numbers in the docs, made from what measures say of their numbers.

    python -m tests.quantity_tables

writes them anew between `<!-- numbers: GROUP -->` and `<!-- end -->`.
"""

import re

from tests.runs_helpers import REPOSITORY
from vae_jax.quantities import Quantity, Section, sections
from vae_jax.runs import finish

PAGES = [
    REPOSITORY / "docs" / name
    for name in ("regularity.md", "disentanglement.md", "architecture.md")
]
ALL = finish.quantities()
SECTIONS = {
    section.group.title: section
    for section in sections(ALL, [key for q in ALL for key in q.lines])
}
BLOCK = re.compile(r"(<!-- numbers: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """A page with its tables brought up to date."""

    def renew(match: re.Match[str]) -> str:
        opening, title, closing = match.groups()
        chosen = list(SECTIONS.values()) if title == "all" else [SECTIONS[title]]
        return f"{opening}\n{table(chosen)}\n{closing}"

    return BLOCK.sub(renew, text)


def table(chosen: list[Section]) -> str:
    """Rows of Markdown, one for each quantity."""
    rows = ["| number | what it is | range | good |", "|---|---|---|---|"]
    rows += [row(q) for section in chosen for q in section.quantities]
    return "\n".join(rows) + "\n"


def row(quantity: Quantity) -> str:
    """Keys, meaning, range and good values."""
    keys = ", ".join(f"`{key}`" for key in quantity.lines)
    unit = f"*{quantity.label}.*" if quantity.unit else f"*{quantity.title}.*"
    cells = [keys, f"{unit} {quantity.meaning}", quantity.span, quantity.good]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Renews all pages."""
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
