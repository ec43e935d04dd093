"""The config files: which there are, and what --config=NAME means."""

import ast
import difflib
import pathlib
from collections.abc import Sequence
from typing import Any

from vae_jax.errors import no_field
from vae_jax.flat import flatten

# Beside the programs, in a checkout as in a wheel.
FOLDER = pathlib.Path(__file__).resolve().parent.parent / "configs"


def known() -> dict[str, str]:
    """Name and first line of the docstring of every config: "iwae/cpu" -> "...".

    Those of the folder `configs` in the current one win.
    """
    found = {}
    for folder in (FOLDER, pathlib.Path("configs")):
        for path in folder.rglob("[a-z]*.py"):
            name = path.relative_to(folder).with_suffix("").as_posix()
            try:
                docstring = ast.get_docstring(ast.parse(path.read_bytes())) or ""
            except (OSError, SyntaxError, ValueError):
                docstring = "(can't be read as Python)"
            found[name] = docstring.split("\n")[0]
    return dict(sorted(found.items()))


def find(given: str) -> pathlib.Path:
    """The file of a config.

    Args:
        given: a path, which wins if it exists; or a name, as mnist or iwae/cpu, of a
            file configs/NAME.py here or beside the programs; or such a path.

    Returns:
        Its path.

    Raises:
        ValueError: there is no such file; names those with similar names.
    """
    path = pathlib.Path(given)
    name = path.relative_to("configs") if path.parts[:1] == ("configs",) else path
    name = name if name.suffix == ".py" else name.parent / f"{name.name}.py"
    for candidate in (path, "configs" / name, FOLDER / name):
        if candidate.is_file():
            return candidate
    names = list(known())
    wanted = name.with_suffix("").as_posix()
    close = difflib.get_close_matches(wanted, names, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "--help lists them"
    raise ValueError(f"--config={given}: there is no such config; {hint}")


def resolved(argv: Sequence[str]) -> list[str]:
    """The arguments with the path of a file for the value of --config.

    Raises:
        ValueError: as `find`.
    """
    found, follows = [], False
    for argument in argv:
        flag, equals, value = argument.partition("=")
        is_config = flag in ("--config", "-config")
        if follows:
            argument = str(find(argument))
        elif is_config and equals:
            argument = f"--config={find(value)}"
        follows = is_config and not equals
        found.append(argument)
    return found


def defaults() -> dict[str, Any]:
    """The fields of configs/default.py, flat."""
    from configs import default  # slow to import

    return flatten(default.get_config().to_dict())


def misnamed(argv: Sequence[str], is_missing: bool) -> str | None:
    """A line about the first --config.FIELD that is no field of configs/default.py.

    Args:
        argv: the arguments.
        is_missing: whether it is known that a field is not there; a config of the
            user's may have some of its own.

    Returns:
        A line that names the nearest field, or those that there are; None if the
        arguments name fields only.
    """
    usual = defaults()
    for argument in argv:
        flag = argument.partition("=")[0]
        field = flag.removeprefix("--config.")
        if field == flag or field in usual:
            continue
        is_group = any(name.startswith(f"{field}.") for name in usual)
        if is_missing or is_group:
            return f"{argument}: {no_field(field, usual)}"
    return None
