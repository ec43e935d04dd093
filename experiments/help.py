"""What --help prints: usage, what a program does, its flags, and configs."""

import pathlib
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from experiments import config_files
from vae_jax.as_text import exact
from vae_jax.flat import flatten

# Lines of a config's source.
_ASSIGNMENT = re.compile(r" +config\.([\w.]+) = (.*)")
_COMMENT = re.compile(r" +# (.*)")
# Behind a value; a value that holds a # has quotes around it.
_BEHIND = re.compile(r"""(?:[^#"']|"[^"]*"|'[^']*')*?  # (.*)""")
_ASKING = re.compile(r"--?(help|helpshort|helpfull|h|\?)(=true)?")
_COLUMN = 26  # where the text beside a name begins
_VALUES = {
    "path": "PATH",
    "int": "N",
    "float": "X",
    "config object": "CONFIG",
    "comma separated list of strings": "A,B",
}
# Modules whose flags several programs share.
_SHARED = {
    "experiments.launch": "Flags that say where it runs",
    "experiments.cli": "Flags of all programs",
}


def asked(argv: Sequence[str]) -> list[str] | None:
    """The arguments without --help or -h; None if there is no such argument."""
    rest = [argument for argument in argv if not _ASKING.fullmatch(argument)]
    return rest if len(rest) < len(argv) else None


def text(takes: str) -> str:
    """The whole text, for the program that runs; flags are parsed.

    Args:
        takes: what the program takes besides flags, such as "FOLDER ..."; or nothing.
    """
    width = min(max(shutil.get_terminal_size().columns, 50), 100)
    config = flags.FLAGS["config"] if "config" in flags.FLAGS else None
    of_config = [] if config is None else ["--config=CONFIG [--config.FIELD=VALUE ...]"]
    program = f"{_start()}{pathlib.PurePath(sys.argv[0]).stem}"
    usage = [f"usage: {program}", takes, *of_config, "[--FLAG=VALUE ...]"]
    parts = [
        textwrap.fill(" ".join(filter(None, usage)), width, subsequent_indent="    "),
        "\n\n".join(_reflowed(_doc(), width)),
    ]
    own = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    by_module = flags.FLAGS.flags_by_module_dict()
    groups = {"Flags": own} | {
        title: by_module[module]
        for module, title in _SHARED.items()
        if module in by_module
    }
    for title, group in groups.items():
        rows = {_form(flag): _meaning(flag) for flag in group}
        if rows:
            parts.append(f"{title}\n{_listed(rows, width)}")
    if config is not None and config.value is not None:
        parts.append(_fields(config.config_filename, config.value, width))
    elif config is not None:
        names = _listed(config_files.known(), width)
        parts.append(f"Configs, whose fields --config=NAME --help lists\n{names}")
    return "\n\n".join(parts)


_BY_MODULE = "python -m experiments."


def _start() -> str:
    """How programs are started here: by the command, or by Python and a module."""
    started = {pathlib.PurePath(word).name for word in sys.orig_argv[1:3]}
    return "vae-jax " if started & {"vae-jax", "vae_jax"} else _BY_MODULE


def _doc() -> str:
    """What the program says of itself; its commands are such as work here."""
    text, start = sys.modules["__main__"].__doc__ or "", _start()
    if start == _BY_MODULE:
        return text
    return text.replace(_BY_MODULE, start).replace("`experiments.", f"`{start}")


def _form(flag: flags.Flag) -> str:
    """How a flag is written."""
    if flag.flag_type() == "bool":
        return f"--{flag.name}"
    choices = getattr(flag.parser, "enum_values", None)
    value = "|".join(choices) if choices else _VALUES.get(flag.flag_type(), "TEXT")
    return f"--{flag.name}={value}"


def _meaning(flag: flags.Flag) -> str:
    """The help of a flag, with its default."""
    default = flag.default
    if isinstance(default, list):
        default = ",".join(default)
    # absl writes the choices in front, and of repeated flags that they may be repeated.
    text = re.sub(r"^<[\w|]+>: |;\s+repeat this option .*", "", str(flag.help))
    shown = default is not None and default is not False and default != ""
    return f"{text} Default: {default}." if shown else text


def _fields(path: str, config: Any, width: int) -> str:
    """Fields of a config with their values and comments, in the order of default.py.

    Sections are listed where they have a comment.
    """
    meanings = field_comments(config_files.FOLDER / "default.py")
    own = field_comments(pathlib.Path(path))
    usual, values = (
        {name: exact(value) for name, value in fields.items()}
        for fields in (config_files.defaults(), flatten(config.to_dict()))
    )
    rows = {}
    for field in dict.fromkeys([*meanings, *values]):
        meaning = meanings.get(field, own.get(field, ""))
        if field in values:
            mark = "" if usual.get(field) == values[field] else " *"
            rows[f"{field}={values[field]}{mark}"] = meaning
        elif meaning:
            rows[field] = meaning
    title = f"Fields of {path}, set as --config.FIELD=VALUE; * is not the default"
    return f"{title}\n{_listed(rows, width)}"


def field_comments(path: pathlib.Path) -> dict[str, str]:
    """The comments of the fields and sections that a config file sets.

    Args:
        path: a file with lines `config.SECTION.FIELD = VALUE`.

    Returns:
        "SECTION.FIELD" -> the comment in the lines above and that behind the value, or
        "" where there is none; in the order of the file.
    """
    found, above = {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if comment := _COMMENT.fullmatch(line):
            above.append(comment[1])
            continue
        if assignment := _ASSIGNMENT.fullmatch(line):
            behind = _BEHIND.fullmatch(assignment[2])
            texts = [*above, *([behind[1]] if behind else [])]
            found[assignment[1]] = " ".join(texts)
        above = []
    return found


def _listed(rows: Mapping[str, str], width: int) -> str:
    """Names with texts beside them, or below where a name is long."""
    lines = []
    for name, meaning in rows.items():
        folded = textwrap.wrap(meaning, width - _COLUMN, break_on_hyphens=False)
        first = f"  {name}"
        if folded and len(first) < _COLUMN - 1:
            first = f"{first:<{_COLUMN}}{folded.pop(0)}"
        lines += [first, *(" " * _COLUMN + line for line in folded)]
    return "\n".join(lines)


def _reflowed(docstring: str, width: int) -> Iterator[str]:
    """The paragraphs of a docstring; commands, which are indented, as they are."""
    for block in re.split(r"\n\s*\n", docstring.strip()):
        lines = block.splitlines()
        if lines[0].startswith("    "):
            yield block
        else:
            yield "\n".join(_folded(lines, width))


def _folded(lines: Iterable[str], width: int) -> Iterator[str]:
    """A paragraph, or the items of a list, in lines of a width."""
    whole: list[str] = []
    for line in lines:
        if whole and not line.startswith("- "):
            whole[-1] += f" {line.strip()}"
        else:
            whole.append(line)
    for item in whole:
        indent = "  " if item.startswith("- ") else ""
        yield textwrap.fill(
            item, width, subsequent_indent=indent, break_on_hyphens=False
        )
