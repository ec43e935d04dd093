"""The code blocks of Markdown pages, run in one folder as a newcomer runs them."""

import os
import pathlib
import re
import subprocess
import sys

from tests.runs_helpers import REPOSITORY

TIMEOUT_S = 600
# What takes minutes is cut short; all else is run as it is written.
CUTS = {
    "make train": "make -o .venv/.installed train FLAGS='--config.train.num_steps=20"
    " --config.eval.measures=likelihood --config.eval.num_samples=5'",
    "--config.train.num_steps=500": (
        "--config.train.num_steps=20 --config.eval.measures=likelihood"
    ),
    "--config.train.num_steps=1000": (
        "--config.train.num_steps=40 --config.eval.measures=likelihood"
    ),
    "--config.train.eval_every=100": "--config.train.eval_every=5",
    "--num_samples=1000": "--num_samples=10",
    "--seeds=2": "--seeds=1 --config.eval.figures=False",
}
# What is not run: it would run this test again.
LEFT_OUT = r"^make test .*$"


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of what is to be run, in order; other blocks are only shown.

    Python blocks that follow one another are one script.
    """
    fence = r"^```(bash|python)\n(.*?)^```$"
    found: list[tuple[str, str]] = []
    for language, content in re.findall(fence, text, re.DOTALL | re.MULTILINE):
        if language == "python" and found and found[-1][0] == "python":
            content = f"{found.pop()[1]}\n{content}"
        found.append((language, content))
    return found


class Clone:
    """A folder like a fresh clone, with an environment that has all packages.

    Its shell begins outside of that environment; what one script exports or activates
    holds for the next.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Links what a page may use; what is written stays in the folder."""
        for path in REPOSITORY.iterdir():
            if not path.name.startswith(".") and path.name != "runs":
                (folder / path.name).symlink_to(path)
        (folder / ".venv").symlink_to(sys.prefix)
        self.folder = folder
        self._state = folder / ".environment"
        own = pathlib.Path(sys.prefix) / "bin"
        paths = os.environ["PATH"].split(os.pathsep)
        self._path = os.pathsep.join(p for p in paths if pathlib.Path(p) != own)

    def run(self, language: str, text: str) -> str:
        """Runs a block, long runs cut short, and gives what it printed."""
        if language == "python":
            (self.folder / "page.py").write_text(text)
            text = "python page.py"
        for long, short in CUTS.items():
            text = text.replace(long, short)
        text = re.sub(LEFT_OUT, "", text, flags=re.MULTILINE)
        restore = f". {self._state}\n" if self._state.exists() else ""
        process = subprocess.run(
            ["bash", "-ec", f"{restore}{text}\nexport -p > {self._state}"],
            cwd=self.folder,
            env={**os.environ, "PATH": self._path, "MPLBACKEND": "Agg"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout
