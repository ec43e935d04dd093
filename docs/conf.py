"""Sphinx: `make docs` builds the site into docs/_build/html.

The pages are those that one reads in the repository. README, CONTRIBUTING and CHANGELOG
lie outside of docs/: three empty pages stand for them here and are filled on reading.
Nothing on a page comes from another host.
"""

import inspect
import os
import pathlib
import pydoc
import re
import subprocess
import sys
from typing import Any

import vae_jax

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs" / "_ext"))


def repository(remote: str) -> str:
    """The page of the repository that a clone is of, or nothing for a local one."""
    address = re.sub(r"^(?:ssh://)?git@([\w.-]+)[:/]", r"https://\1/", remote.strip())
    return address.removesuffix(".git") if address.startswith("https://") else ""


def origin() -> str:
    """What this checkout was cloned from, or nothing."""
    command = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout
    except OSError:  # there is no git
        return ""


project = "vae_jax"
version = release = vae_jax.__version__
html_title = f"vae_jax {release}"
copyright = "the authors of vae_jax, Apache-2.0"

extensions = [
    "lesson_pages",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "typeset",
]
exclude_patterns = ["_build", "_templates", "**.ipynb_checkpoints"]
nitpicky = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "typeset"
html_context = {"repository": repository(origin())}
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "repository.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
# What a notebook's cell prints is not for copying.
copybutton_selector = "div:not(.cell_output) > div.highlight pre"

myst_enable_extensions = ["smartquotes", "dollarmath"]
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
    "configs/default.py": "docs/configs.md",
}
ELSEWHERE = {page: source for source, page in PAGES.items() if source.endswith(".md")}
SPECIAL = r"([|*]|_(?=\W|$))"  # of reStructuredText
OF_FLAX = {"name", "parent", "replace", "scope", "setup"}
NAMES = re.compile(r"<!-- names: ([^>]+) -->")
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
    if here == "README.md":  # the name of the whole site is no title of a page
        source[0] = re.sub("^# .*", "# Quick start", source[0])
    source[0] = source[0].replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
    source[0] = NAMES.sub(lambda found: reference(found[1].split()), source[0])


def reference(names: list[str]) -> str:
    """A table of names with a line each, and then the whole of each.

    A module has a section of its own, with all of its public names.
    """
    found = {name: pydoc.locate(f"vae_jax.{name}") for name in names}
    if missing := [name for name, thing in found.items() if thing is None]:
        raise ValueError(f"docs/api: vae_jax has no {', '.join(missing)}")
    modules = [name for name, thing in found.items() if inspect.ismodule(thing)]
    single = [name for name in names if name not in modules]
    sections = []
    if single:
        lines = [".. currentmodule:: vae_jax", "", ".. autosummary::"]
        lines += ["   :nosignatures:", ""]
        lines += [f"   {name}" for name in single]
        for name in single:
            if inspect.isclass(found[name]):
                lines += ["", f".. autoclass:: vae_jax.{name}", "   :members:"]
            else:
                lines += ["", f".. autofunction:: vae_jax.{name}"]
        sections.append(_rst(lines))
    for name in modules:
        own = ["   :members:"]
        if hasattr(found[name], "__path__"):  # a package gives what lies in its modules
            own.append("   :imported-members:")
        sections.append(f"## `vae_jax.{name}`\n")
        sections.append(_rst([f".. automodule:: {found[name].__name__}", *own]))
    return "\n".join(sections)


def _rst(lines: list[str]) -> str:
    return "\n".join(["```{eval-rst}", *lines, "```", ""])


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
