"""What the lesson asks of the site: its language, a way to Colab, and a page within it.

A line `<!-- badge: NAME -->` becomes a link that opens the notebook docs/NAME.ipynb on
Colab, if the site is built from a clone of a public repository on GitHub
(`html_context["repository"]`). Elsewhere it stays a comment.
"""

import pathlib
import re
import shutil
from typing import Any

BADGE = re.compile(r"<!-- badge: ([\w.]+) -->")
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+)")
COLAB = "https://colab.research.google.com/github"
FRAMED = pathlib.Path("lesson", "explorer.html")  # a page within the lesson's
SPANISH = ".es"  # the end of the names of Spanish pages


def with_badges(text: str, repository: str) -> str:
    """The text of a page with a link in the place of each line for one.

    Args:
        text: Markdown, or a notebook.
        repository: address of the repository's page, such as
            https://github.com/OWNER/NAME.
    """
    found = GITHUB.fullmatch(repository)
    if not found:
        return text

    def link(match: re.Match[str]) -> str:
        words = "Abrir en Colab" if match[1].endswith(SPANISH) else "Open in Colab"
        address = f"{COLAB}/{found[1]}/blob/main/docs/{match[1]}.ipynb"
        return f"[![{words}](_static/colab.svg)]({address})"

    return BADGE.sub(link, text)


def on_source_read(app: Any, docname: str, source: list[str]) -> None:
    """Sets the badges of a page."""
    del docname
    source[0] = with_badges(source[0], app.config.html_context.get("repository", ""))


def on_page_context(
    app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Says which language a page is in, for screen readers and browsers."""
    del app, templatename, doctree
    if pagename.endswith(SPANISH):
        context["language"] = "es"


def on_build_finished(app: Any, exception: Exception | None) -> None:
    """Puts the framed page where the lesson looks for it."""
    if exception is None and app.builder.format == "html":
        place = pathlib.Path(app.outdir, FRAMED)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(pathlib.Path(app.srcdir, FRAMED), place)


def setup(app: Any) -> dict[str, bool]:
    """Connects the functions above."""
    app.connect("source-read", on_source_read)
    app.connect("html-page-context", on_page_context)
    app.connect("build-finished", on_build_finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
