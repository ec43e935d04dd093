"""What --help prints, what --config=NAME means, and how soon both are there."""

import ast
import pathlib
import subprocess
import sys

import pytest

from configs import default
from experiments import config_files, help
from tests.forked_programs import run_program
from tests.runs_helpers import REPOSITORY
from vae_jax import __main__
from vae_jax.export import formats, weights
from vae_jax.flat import flatten
from vae_jax.report import latent_space
from vae_jax.runs import remeasure

PROGRAMS = sorted(__main__.programs(REPOSITORY))


def test_a_config_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours = REPOSITORY / "configs"
    for given in ("mnist", "mnist.py", "configs/mnist.py"):
        assert config_files.find(given) == ours / "mnist.py"
    assert config_files.find("iwae/cpu") == ours / "iwae" / "cpu.py"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mnist.py").write_text('"""Mine."""')
    for given in ("mnist", "configs/mnist.py"):
        assert config_files.find(given) == pathlib.Path("configs/mnist.py")
    assert config_files.known()["mnist"] == "Mine."
    (tmp_path / "mnist").touch()  # an existing path wins
    assert config_files.find("mnist") == pathlib.Path("mnist")
    with pytest.raises(ValueError, match=r"^--config=mnits: there is no such config; "):
        config_files.find("mnits")
    with pytest.raises(ValueError, match=r"did you mean mnist( or \w+)*\?$"):
        config_files.find("configs/mnst.py")
    with pytest.raises(ValueError, match="--help lists them"):
        config_files.find("/tmp/qqqqqqqq.py")


@pytest.mark.parametrize(
    "content", [b"def broken(:\n", '"""\u00e4"""'.encode("latin-1"), b"a\0b"]
)
def test_a_config_that_is_no_python_is_listed_as_such(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "broken.py").write_bytes(content)
    known = config_files.known()
    assert known["broken"] == "(can't be read as Python)"
    assert "mnist" in known
    with pytest.raises(ValueError, match=r"^--config=mnits: there is no such config; "):
        config_files.find("mnits")


def test_the_value_of_the_flag_becomes_a_path():
    digits = str(REPOSITORY / "configs" / "digits.py")
    for argv in (["x", "--config=digits"], ["x", "-config", "digits"]):
        found = config_files.resolved([*argv, "--config.seed=1", "--out=digits"])
        assert found[-2:] == ["--config.seed=1", "--out=digits"]
        assert pathlib.Path(found[-3].removeprefix("--config=")).samefile(digits)


def test_comments_above_and_beside_a_field(tmp_path):
    (tmp_path / "a.py").write_text(
        "def get_config():\n"
        "    # The part.\n"
        "    config.part = ConfigDict()\n"
        '    config.part.name = "#1"  # one\n'
        "    # Two lines\n"
        "    # above\n"
        "    config.part.size = 3  # and one beside\n"
        "    # of something else\n"
        "\n"
        "    config.last = 1\n"
    )
    assert help.field_comments(tmp_path / "a.py") == {
        "part": "The part.",
        "part.name": "one",
        "part.size": "Two lines above and one beside",
        "last": "",
    }


def test_every_field_has_a_comment_that_one_understands_alone():
    comments = help.field_comments(REPOSITORY / "configs" / "default.py")
    fields = flatten(default.get_config().to_dict())
    assert set(fields) <= set(comments)
    assert [name for name in fields if not comments[name]] == []
    assert [name for name, text in comments.items() if "likewise" in text] == []


def test_help_is_asked_for_in_several_ways():
    for word in ("--help", "-help", "-h", "-?", "--helpfull", "--helpshort"):
        assert help.asked(["x", word, "--a=b"]) == ["x", "--a=b"]
    assert help.asked(["x", "--helper", "--a=--help"]) is None


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_help(name):
    status, out, err = run_program(name, "--help", COLUMNS="80")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: python -m experiments.{name} ")
    tree = ast.parse((REPOSITORY / "experiments" / f"{name}.py").read_text())
    words = (ast.get_docstring(tree) or "").split()
    assert " ".join(words) in " ".join(out.split())
    for node in ast.walk(tree):  # each flag that it defines
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr.lower().startswith("define") and node.args:
                assert f"--{ast.literal_eval(node.args[0])}" in out
    ours = out[out.index("\nFlags") :].splitlines()
    assert max(map(len, ours)) <= 80


def test_help_of_the_command_shows_the_command():
    """Where vae_jax is installed from a wheel there is no package `experiments`."""
    command = [sys.executable, "-m", "vae_jax", "sample", "--help"]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert found.stdout.startswith("usage: vae-jax sample "), found.stderr
    assert "    vae-jax sample --workdir=runs/mnist --num=64" in found.stdout
    assert "experiments." not in found.stdout


def test_help_with_a_config_has_its_fields_values_and_comments():
    status, out, err = run_program(
        "train", "--config=iwae/cpu", "--config.hparams.kl_weight=4", "-h", COLUMNS="80"
    )
    assert (status, err) == (0, "")
    rows = out[out.index("\nFields of ") :].splitlines()
    assert "  hparams.kl_weight=4 *   of the KL term, the beta of papers" in rows
    assert (
        "  data.name=mnist *       digits, mnist_5k, dsprites, xysquares, npz:PATH,"
        in rows
    )
    assert "  seed=0                  initialisation and latent noise" in rows
    status, out, err = run_program("train", "--config=iwae/cpv", "--help")
    assert (status, out) == (1, "")
    start = "error: --config=iwae/cpv: there is no such config; did you mean iwae/cpu"
    assert err.startswith(start) and err.count("\n") == 1


def test_help_does_not_wait_for_what_takes_long():
    """In fresh processes, of programs of which none may load JAX or NumPy."""
    program = (
        "import runpy, sys\n"
        "sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_module(f'experiments.{sys.argv[0]}', run_name='__main__',"
        " alter_sys=True)\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'jax', 'numpy'} & set(sys.modules)"
    )
    for name in PROGRAMS:
        subprocess.run(
            [sys.executable, "-c", program, name],
            check=True,
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
        )


def test_choices_of_flags_are_those_of_the_tables():
    """Programs repeat them, since the tables are in modules that bring in JAX."""
    chosen = "|".join([*formats.FORMATS, weights.FORMAT])
    assert f"--format={chosen}\n" in run_program("export", "--help")[1]
    ways = "|".join(latent_space.PATHS)
    assert f"--path={ways}" in run_program("interpolate", "--help")[1]
    splits = "|".join(remeasure.SPLITS)
    assert f"--split={splits}" in run_program("evaluate", "--help")[1]
