"""What the fields of a config mean: the comments beside them in its source."""

import pathlib
import re

_ASSIGNMENT = re.compile(r" +config\.([\w.]+) = (.*)")
_COMMENT = re.compile(r" +# (.*)")
# Behind a value; a value that holds a # has quotes around it.
_BEHIND = re.compile(r"""(?:[^#"']|"[^"]*"|'[^']*')*?  # (.*)""")


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
