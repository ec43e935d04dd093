"""What others install: the wheel holds vae_jax only, and that is enough for them."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

from tests.runs_helpers import REPOSITORY
from vae_jax import __main__

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
TIMEOUT_S = 400
# The Pythons that the stranger has.
PYTHONS = os.environ.get("VAE_JAX_PYTHONS", sys.executable).split()
UV = os.environ.get("UV")  # which installs in a tenth of pip's time; CI has one

# A stranger's project: a module, an objective and a loop of its own, on a table.
STRANGER = '''
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import vae_jax

rng = np.random.default_rng(0)
hidden = rng.normal(size=(1200, 2))
table = np.tanh(hidden @ rng.normal(size=(2, 6))) + 0.1 * rng.normal(size=(1200, 6))
table = ((table - table.mean(0)) / table.std(0)).astype(np.float32)
train, test = table[:1000], table[1000:]


class TableVAE(nn.Module):
    """Not one of the library's models: it only returns what they return."""

    @nn.compact
    def __call__(self, x, key):
        h = nn.tanh(nn.Dense(32)(x))
        q = vae_jax.distributions.DiagonalNormal(
            nn.Dense(2)(h), vae_jax.distributions.bound_log_std(nn.Dense(2)(h))
        )
        z = q.sample(key)
        p = vae_jax.distributions.DiagonalNormal(jnp.zeros_like(z), jnp.zeros_like(z))
        mean = nn.Dense(6)(nn.tanh(nn.Dense(32)(z)))
        log_std = self.param("log_std", nn.initializers.zeros, ())
        x_given_z = vae_jax.distributions.DiagonalNormal(
            mean, jnp.broadcast_to(log_std, mean.shape)
        )
        return vae_jax.VAEOutput(x_given_z, (vae_jax.Latent(z, q, p),))


def objective(output, x, hparams):
    """The ELBO plus a push of the mean code towards zero."""
    loss, metrics = vae_jax.elbo_loss(output, x, hparams)
    shift = (output.latents[0].posterior.mean.mean(axis=(0, 1)) ** 2).sum()
    return loss + hparams["push"] * shift, metrics | {"shift": shift}


traces = 0
model = TableVAE()
trainer = vae_jax.ensemble(vae_jax.vae_trainer(model, objective, optax.adam(1e-2)))


@jax.jit
def step(states, x, keys, hparams):
    global traces
    traces += 1
    return trainer.step(states, x, keys, hparams)


weights = np.array([0.1, 0.5, 1.0, 4.0])
hparams = vae_jax.make_hparams(kl_weight=weights, push=np.full(4, 0.1))
keys = jax.random.split(jax.random.key(0), 4)
states = trainer.init(keys, train[:100])
losses = []
for i in range(400):
    rows = rng.integers(0, len(train), 100)
    states, metrics = step(states, train[rows], keys, hparams)
    losses.append(metrics["loss"])
losses = np.array(losses)
first, last = losses[:20].mean(0), losses[-20:].mean(0)
assert traces == 1, traces
assert (last < first - 0.5).all(), (first, last)

functions = vae_jax.model_functions(model)
rates = []
for member in range(4):
    params = jax.tree.map(lambda leaf: leaf[member], states.eval_params)
    results = vae_jax.evaluate(
        functions, params, test, jax.random.key(1), num_samples=20
    )
    assert -results["nll"] >= results["elbo"], results
    rates.append(results["rate"])
assert all(a > b for a, b in zip(rates, rates[1:])), rates  # weights rise, rates fall

names = {name.split(".")[0] for name in sys.modules}
assert not names & {"experiments", "configs", "ml_collections", "tensorflow_datasets"}
print("from", vae_jax.__file__)
'''


def names_of(requirements: list[str]) -> set[str]:
    """Requirements as they stand, those of an extra of ours written out."""
    found = set()
    for requirement in requirements:
        own = re.fullmatch(r"vae_jax\[([\w,-]+)\]", requirement)
        if own:
            found |= {r for extra in own[1].split(",") for r in names_of(EXTRAS[extra])}
        else:
            found.add(requirement)
    return found


def name_of(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement)[0]


def test_the_library_needs_four_packages():
    needed = {name_of(line) for line in PROJECT["dependencies"]}
    assert all("<" not in line for line in PROJECT["dependencies"])
    assert needed == {"jax", "flax", "optax", "numpy"}
    assert {"data", "experiments", "export", "onnx", "dev"} <= EXTRAS.keys()


def test_requirements_txt_is_the_extra_experiments():
    lines = (REPOSITORY / "requirements.txt").read_text("utf-8").splitlines()
    listed = {line for line in lines if line and not line.startswith("#")}
    wanted = names_of(["vae_jax[experiments]"])
    named = {name_of(line) for line in wanted}  # the programs ask for newer versions
    rest = {line for line in PROJECT["dependencies"] if name_of(line) not in named}
    assert listed == wanted | rest


def test_make_train_installs_what_it_needs_and_says_what_comes_next():
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    assert "'.[experiments,mnist-5k]'" in makefile
    target = re.search(r"^train: install\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert target and "--config=configs/mnist_5k.py" in target[1]
    first, second = re.findall(r'@echo "(.*)"', target[1])
    assert first.endswith(". $(BIN)/activate")
    module = re.search(r"python -m experiments\.(\w+) --workdir=\$\(WORKDIR\)", second)
    assert module and (REPOSITORY / "experiments" / f"{module[1]}.py").is_file()


def test_the_command_knows_every_program():
    known = __main__.programs(__main__.home())
    assert {"train", "ablate", "export", "prepare_data"} <= known.keys()
    assert not {"cli", "launch", "lesson"} & known.keys()
    assert all(line.endswith((".", ":")) for line in known.values()), known


def test_the_command_has_a_version_and_help(capsys, monkeypatch):
    for argument, start in (("--version", "vae_jax 0."), ("--help", "usage: vae-jax ")):
        monkeypatch.setattr(sys, "argv", ["vae-jax", argument])
        __main__.main()
        assert capsys.readouterr().out.startswith(start)


def run(*arguments: object, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    own = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    own |= {"PYTHONDONTWRITEBYTECODE"}  # files are compiled once, not at every start
    # No XLA, old or new, knows all flags of these tests; each knows this one.
    flags = {"XLA_FLAGS": "--xla_backend_optimization_level=1"}
    return subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k not in own} | flags,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def succeed(*arguments: object, cwd: pathlib.Path) -> str:
    done = run(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:] or done.stdout[-3000:]
    return done.stdout


def environment(
    folder: pathlib.Path, interpreter: str, packages: list[object], uv: str | None
) -> pathlib.Path:
    """The Python of a new environment that has packages, from uv or else from pip."""
    place = folder / "venv"
    python = place / "bin" / "python"
    if uv:
        succeed(uv, "venv", "--quiet", "--python", interpreter, place, cwd=folder)
        install = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        succeed(interpreter, "-m", "venv", place, cwd=folder)
        pip = [python, "-m", "pip", "--disable-pip-version-check"]
        # A user's own files are compiled when they are first imported, too.
        install = [*pip, "install", "--quiet", "--no-compile"]
    succeed(*install, *packages, cwd=folder)
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """The wheel, made from the sdist of a copy of this repository."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    if run(*pip, "setuptools", cwd=folder).returncode:
        pytest.skip("pip reaches no package registry")
    source = folder / "source"
    kept = re.compile(
        r"vae_jax|experiments|configs|[\w.]+\.(py|toml|md|txt|in)|LICENSE"
    )
    for path in REPOSITORY.iterdir():
        if kept.fullmatch(path.name) and path.is_dir():
            shutil.copytree(path, source / path.name)
        elif kept.fullmatch(path.name):
            source.mkdir(exist_ok=True)
            shutil.copy(path, source)
    dist = folder / "dist"
    succeed(sys.executable, "-m", "build", "--outdir", dist, source, cwd=folder)
    made = sorted(dist.iterdir())
    assert [path.name.removeprefix("vae_jax-") for path in made] == [
        f"{PROJECT['version']}-py3-none-any.whl",
        f"{PROJECT['version']}.tar.gz",
    ]
    succeed(sys.executable, "-m", "twine", "check", "--strict", *made, cwd=folder)
    return made[0]


@pytest.mark.slow
def test_the_wheel_holds_vae_jax_only(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"vae_jax", f"vae_jax-{PROJECT['version']}.dist-info"}
    places = {"vae_jax": "", "experiments": "vae_jax/_programs/"}
    places["configs"] = places["experiments"]
    for folder, place in places.items():
        for path in (REPOSITORY / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{place}{path.relative_to(REPOSITORY)}" in names


@pytest.mark.slow
def test_the_oldest_versions_that_are_permitted(wheel, tmp_path):
    """The stranger's project and every block of the page on reuse."""
    oldest = [line.replace(">=", "==") for line in PROJECT["dependencies"]]
    python = environment(tmp_path, sys.executable, [*oldest, wheel], UV)
    (tmp_path / "main.py").write_text(STRANGER)
    assert "from " in succeed(python, "main.py", cwd=tmp_path)
    page = (REPOSITORY / "docs" / "reuse.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "reuse.py").write_text("\n".join(blocks))
    assert "'nll'" in succeed(python, "reuse.py", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("interpreter", PYTHONS)
def test_a_project_of_a_stranger(wheel, tmp_path, interpreter):
    """pip installs it on the first Python, uv on the others, if there is one."""
    uv = None if interpreter == PYTHONS[0] else UV
    python = environment(tmp_path, interpreter, [wheel], uv)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "main.py").write_text(STRANGER)
    out = succeed(python, "main.py", cwd=tmp_path / "project")
    assert str(tmp_path / "venv") in out

    program = python.with_name("vae-jax")
    listed = succeed(program, cwd=tmp_path)
    assert all(name in listed for name in ("train", "ablate", "export"))
    refused = run(program, "train", "--workdir=run", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("error: vae-jax train needs the package")
    assert "pip install 'vae_jax[experiments]'" in line
    misspelt = run(program, "trian", cwd=tmp_path)
    assert misspelt.returncode == 1
    assert misspelt.stderr.endswith(". Did you mean 'train'?\n")
