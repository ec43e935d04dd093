"""What docstrings promise about arguments and errors, against the code."""

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "vae_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
Documented = ast.FunctionDef | ast.ClassDef


def documented(file: pathlib.Path) -> Iterator[Documented]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, Documented) and ast.get_docstring(node):
            yield node


def section(node: Documented, title: str) -> list[str]:
    """The names that start an entry of a section, such as "Args"."""
    docstring = ast.get_docstring(node) or ""
    found = re.search(rf"^{title}:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
    return re.findall(r"^    (\w+):", found[1], re.MULTILINE) if found else []


def accepted(node: Documented) -> set[str]:
    """Arguments of a function, or of a class: fields and those of `__init__`."""
    if isinstance(node, ast.FunctionDef):
        arguments = node.args
        own = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        return {argument.arg for argument in own} - {"self", "cls"}
    names = set()
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            names.add(child.target.id)
        elif isinstance(child, ast.FunctionDef) and child.name == "__init__":
            names |= accepted(child)
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_args_are_those_of_the_signature_in_its_order(file):
    for node in documented(file):
        names = section(node, "Args")
        assert set(names) <= accepted(node), node.name
        if names and isinstance(node, ast.FunctionDef):
            assert set(names) == accepted(node), node.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_public_things_say_what_they_are(file):
    module = ast.parse(file.read_text(encoding="utf-8"))
    assert ast.get_docstring(module), file
    silent = [
        node.name
        for node in module.body
        if isinstance(node, Documented)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []
