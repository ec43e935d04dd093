"""The command `vae-jax NAME --flag=value ...`: the programs of an installed wheel.

    vae-jax train --config=configs/digits.py --workdir=runs/digits

is what `python -m experiments.train ...` is in a checkout. A wheel keeps the programs
and the configs inside this package (setup.py), so that no other project finds modules
called `experiments` and `configs`; only here are they put on the path.
"""

import ast
import importlib
import pathlib
import runpy
import sys

from vae_jax.errors import did_you_mean

_PACKAGE = pathlib.Path(__file__).resolve().parent
EXTRA = "experiments"


def home() -> pathlib.Path:
    """The folder that holds `experiments` and `configs`: in a wheel, or a checkout."""
    bundled = _PACKAGE / "_programs"
    return bundled if bundled.is_dir() else _PACKAGE.parent


def programs(folder: pathlib.Path) -> dict[str, str]:
    """Name and first line of the docstring of every program below `folder`."""
    found = {}
    for path in sorted((folder / "experiments").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if '__name__ == "__main__"' in text:
            found[path.stem] = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
    return found


def main() -> None:
    """Runs the program that the first argument names; without one it lists them."""
    folder = home()
    known = programs(folder)
    name, arguments = (sys.argv[1:2] or ["--help"])[0], sys.argv[2:]
    if name in ("-h", "--help"):
        width = max(map(len, known))
        lines = [f"  {program:{width}}  {line}" for program, line in known.items()]
        usage = "usage: vae-jax NAME [--help] [--FLAG=VALUE ...]   or   --version"
        print("\n".join([usage, *lines]))
        return
    if name == "--version":
        print(f"vae_jax {importlib.import_module('vae_jax').__version__}")
        return
    if name not in known:
        names = ", ".join(known)
        near = did_you_mean(name, known)
        sys.exit(f"error: {name!r}: must be one of {names}.{near}")
    sys.path.insert(0, str(folder))
    sys.argv = [f"vae-jax {name}", *arguments]
    try:
        runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as error:
        sys.exit(
            f"error: vae-jax {name} needs the package {error.name}: install the extra"
            f" {EXTRA!r}, pip install 'vae_jax[{EXTRA}]'"
        )


if __name__ == "__main__":
    main()
