"""What docstrings promise about arguments and errors, against the code."""

import ast
import pathlib
import re
from collections.abc import Iterator

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


def accepted(node: Documented) -> list[str]:
    """Arguments of a function, or of a class: fields and those of `__init__`."""
    if isinstance(node, ast.FunctionDef):
        arguments = node.args
        own = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        names = [argument.arg for argument in own]
        return [name for name in names if name not in ("self", "cls")]
    names = []
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            names.append(child.target.id)
        elif isinstance(child, ast.FunctionDef) and child.name == "__init__":
            names += accepted(child)
    return names


def test_args_are_those_of_the_signature_in_its_order():
    """Of a function all or none; of a class, fields and arguments of `__init__`."""
    wrong = []
    for file in FILES:
        for node in documented(file):
            names, own = section(node, "Args"), accepted(node)
            if isinstance(node, ast.FunctionDef):
                fits = not names or names == [name for name in own if name in names]
                fits = fits and (not names or set(names) == set(own))
            else:
                fits = set(names) <= set(own)
            if not fits:
                wrong.append(f"{file.relative_to(PACKAGE)}: {node.name}: {names}")
    assert wrong == []


def test_public_things_say_what_they_are():
    silent = []
    for file in FILES:
        module = ast.parse(file.read_text(encoding="utf-8"))
        public = [
            node
            for node in module.body
            if isinstance(node, Documented)
            and not node.name.startswith("_")
            and "overload" not in map(ast.unparse, node.decorator_list)
        ]
        silent += [
            f"{file.relative_to(PACKAGE)}: {getattr(node, 'name', 'the module')}"
            for node in [module, *public]
            if not ast.get_docstring(node)
        ]
    assert silent == []


def test_an_entry_says_what_it_is_before_what_it_belongs_to():
    """The entry is "path: the file to write", not "path: of the PNG"."""
    fragment = re.compile(r" +[a-z_*]+: (of|in|with|for) ")
    root = PACKAGE.parent
    places = ("vae_jax", "experiments", "examples", "benchmarks", "docs")
    found = [
        f"{file.relative_to(root)}:{number}: {line.strip()}"
        for place in places
        for file in sorted((root / place).rglob("*.py"))
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if fragment.match(line)
    ]
    assert found == []
