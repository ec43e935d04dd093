"""Sphinx: `make docs` builds the site into docs/_build/html.

The pages are those that one reads in the repository. README, CONTRIBUTING and CHANGELOG
lie outside of docs/: three empty pages stand for them here and are filled on reading.
"""

import os
import pathlib
import re
from typing import Any

import vae_jax

ROOT = pathlib.Path(__file__).resolve().parent.parent

project = "vae_jax"
version = release = vae_jax.__version__
html_title = f"vae_jax {release}"
copyright = "the authors of vae_jax, Apache-2.0"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
# notebook.ipynb is lesson.ipynb by a name that lesson.md leaves free.
exclude_patterns = ["_build", "lesson.ipynb", "**.ipynb_checkpoints"]
nitpicky = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["smartquotes"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
# The lesson's numbers are links whose title says where each is from.
suppress_warnings = ["myst.xref_ambiguous"]

nb_execution_mode = os.environ.get("DOCS_NOTEBOOKS", "force")
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
os.environ.setdefault("LESSON_STEPS", "1000")
# What python.ipynb trains and writes stays with the rest of a build.
os.environ.setdefault("RUN", str(ROOT / "docs" / "_build" / "python" / "run"))
os.environ.setdefault("JAX_PLATFORMS", "cpu")

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
PAGES = {
    "README.md": "docs/quickstart.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "CHANGELOG.md": "docs/changelog.md",
    "docs/lesson.ipynb": "docs/notebook.ipynb",
    "configs/default.py": "docs/configs.md",
}
ELSEWHERE = {page: source for source, page in PAGES.items() if source.endswith(".md")}
SPECIAL = r"([|*]|_(?=\W|$))"  # of reStructuredText
OF_FLAX = {"name", "parent", "replace", "scope", "setup"}
MODULES = re.compile(r"<!-- modules of ([\w, ]+) -->")
LINK = re.compile(r"(\]\()([^)#:\s]+)([^)]*\))")


def on_source_read(app: Any, docname: str, source: list[str]) -> None:
    """Fills the pages that stand for others and bends links to where pages are."""
    del app
    here = ELSEWHERE.get(f"docs/{docname}.md", f"docs/{docname}")
    if here in PAGES:
        source[0] = (ROOT / here).read_text(encoding="utf-8")
    folder = (ROOT / here).parent

    def bend(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        path = os.path.relpath(folder / target, ROOT)
        page = PAGES.get(path, path)
        if not page.startswith("docs/"):
            return match[0]
        return f"{before}{os.path.relpath(page, f'docs/{docname}/..')}{after}"

    source[0] = LINK.sub(bend, source[0])
    source[0] = MODULES.sub(lambda rooms: reference(rooms[1].split(", ")), source[0])


def reference(rooms: list[str]) -> str:
    """A section for each public module of some files and folders of vae_jax/."""
    sections = []
    for room in rooms:
        place = ROOT / "vae_jax" / room
        files = sorted(place.rglob("*.py")) or [place.with_suffix(".py")]
        for file in files:
            parts = file.relative_to(ROOT).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            if is_package and "\nBY_NAME" not in file.read_text(encoding="utf-8"):
                continue  # a package that only has a name
            module = ".".join(parts[:-1] if is_package else parts)
            sections.append(
                f"## `{module}`\n\n```{{eval-rst}}\n.. automodule:: {module}\n"
                "   :members:\n```\n"
            )
    return "\n".join(sections)


def on_docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """From the plain text of our docstrings to reStructuredText."""
    del app, name, obj, options
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()  # of a named tuple: its class says what the field is
        return
    # Napoleon takes what stands before a colon in a property's first line for a type.
    text = ["..", ""] if what == "property" else []
    previous = ""
    for line in lines:
        starts_block = line.strip() and not previous.strip()
        table = line.startswith("|")
        code = line.startswith("    ") and not _last(text).startswith("    ")
        if starts_block and (table or (code and text)):
            text += ["::", ""]  # shown as it stands
        text.append(f"    {line}" if table else line)
        previous = line
    verbatim = False
    for number, line in enumerate(text):
        verbatim = line == "::" or (verbatim and (not line or line.startswith("    ")))
        if not verbatim:
            text[number] = _escape(line)
    lines[:] = text


def _last(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line.strip()), "")


def _escape(line: str) -> str:
    """`code` becomes ``code``, also in the plural; |, * and _ are themselves."""
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(
        f"`{part}`\\ " if part.startswith("`") else re.sub(SPECIAL, r"\\\1", part)
        for part in parts
    )


def on_signature(
    app: Any,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Without the two arguments of every Flax module; functions by their name."""
    del app, what, name, obj, options
    if signature:
        signature = re.sub(r"(, )?parent: .*_Sentinel object>", "", signature)
        signature = re.sub(r"(, )?name: str \| None = None(?=\)$)", "", signature)
        signature = re.sub(
            r"<(?:function|class) '?(?:\w+\.)*(\w+).*?>", r"\1", signature
        )
    return signature, returns


def on_member(
    app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any
) -> bool:
    """Leaves out what Flax gives to modules and pytrees, and functions of others."""
    del app, what, options
    of_others = not (getattr(obj, "__module__", None) or "vae_jax").startswith(
        "vae_jax"
    )
    return skipped or (of_others and callable(obj)) or name in OF_FLAX


def setup(app: Any) -> None:
    """Connects the functions above."""
    app.connect("source-read", on_source_read)
    # Before napoleon, which makes reStructuredText of the sections.
    app.connect("autodoc-process-docstring", on_docstring, priority=400)
    app.connect("autodoc-process-signature", on_signature)
    app.connect("autodoc-skip-member", on_member)
