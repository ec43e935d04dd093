"""Who may import whom: the order of docs/architecture.md, read from the source."""

import ast
import graphlib
import pathlib
import re
import subprocess
import sys

import vae_jax

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "vae_jax"

HEAVY = {
    "PIL",
    "array_record",
    "grain",
    "jinja2",
    "matplotlib",
    "mlxtend",
    "orbax",
    "pandas",
    "pyarrow",
    "requests",
    "sklearn",
    "tensorboardX",
    "tensorflow",
    "tensorflow_datasets",
}
CONFIG = {"ml_collections"}
# Between the data and what a model is; data/, storage/ and report/ know none of these.
OF_MODELS = {
    "outputs",
    "networks",
    "posteriors",
    "likelihoods",
    "priors",
    "models",
    "objectives",
    "training",
    "evaluation",
    "trained",
}


def module_name(file: pathlib.Path) -> str:
    """For example "vae_jax.data.batches"; a package's name for its __init__.py."""
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imports_of(name: str) -> set[str]:
    """Every module that a file imports anywhere, as full names."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative imports hide the order"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in FILES else str(node.module))
    return found


IMPORTS = {name: imports_of(name) for name in FILES}


def documented_layers() -> list[set[str]]:
    """The lines of the list in docs/architecture.md, from the top downwards."""
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"^vae_jax/ .*\n((?:  .*\n)+)", text, re.MULTILINE)
    assert block, "docs/architecture.md has no list below a line 'vae_jax/'"
    layers = []
    for line in block[1].splitlines():
        names = re.match(r"  ((?:\w+(?:\.py|/)(?:, )?)+)", line)
        if names:
            layers.append(set(re.findall(r"(\w+)(?:\.py|/)", names[1])))
    return layers


LAYERS = documented_layers()


def part(name: str) -> str:
    """The file or folder right below vae_jax/: "data" of "vae_jax.data.batches"."""
    return name.split(".")[1] if "." in name else ""


def inner_imports(name: str) -> set[str]:
    return {module for module in IMPORTS[name] if module.split(".")[0] == "vae_jax"}


def test_every_file_has_its_place_in_the_list() -> None:
    listed = set().union(*LAYERS)
    assert {part(name) for name in FILES} - {""} == listed


def test_imports_point_upwards_only() -> None:
    rank = {entry: i for i, layer in enumerate(LAYERS) for entry in layer}
    wrong = {
        (name, imported)
        for name in FILES
        if part(name)
        for imported in inner_imports(name)
        if rank[part(imported)] > rank[part(name)]
    }
    assert not wrong


def test_no_circles() -> None:
    # An __init__.py that only gathers names runs before its modules: no circle.
    graph = {name: inner_imports(name) for name in FILES if name != "vae_jax"}
    assert all("vae_jax" not in imported for imported in graph.values())
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def inner_by(importers: set[str], forbidden: set[str]) -> set[tuple[str, str]]:
    """Which files of some parts import which of other parts."""
    return {
        (name, imported)
        for name in FILES
        if part(name) in importers
        for imported in inner_imports(name)
        if part(imported) in forbidden
    }


def test_parts_that_do_not_know_each_other() -> None:
    assert not inner_by({"models"}, {"objectives"})
    assert not inner_by({"objectives"}, {"models"})
    assert not inner_by({"data", "storage", "report"}, OF_MODELS)


def outer_by_others(packages: set[str], allowed: set[str]) -> set[tuple[str, str]]:
    """Which files import which packages, but for the parts that may."""
    return {
        (name, imported)
        for name in FILES
        if part(name) not in allowed
        for imported in IMPORTS[name]
        if imported.split(".")[0] in packages
    }


def test_packages_that_only_some_may_import() -> None:
    assert not outer_by_others(
        HEAVY, {"data", "storage", "report", "fitted", "evaluation"}
    )
    assert not outer_by_others(CONFIG, {"build", "traced", "runs", "export"})
    programs = {"experiments", "configs", "tests", "benchmarks"}
    assert not outer_by_others(programs, set())


def loaded_by(*lines: str) -> list[str]:
    """Packages that lines bring in, in a fresh process with jax, flax and optax."""
    program = ["import sys, importlib", "import flax.linen, jax, optax"]
    program += ["before = set(sys.modules)", *lines]
    program += ["new = set(sys.modules) - before"]
    program += ["print(*sorted({name.split('.')[0] for name in new}))"]
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    return run.stdout.split()


def test_importing_the_core_loads_nothing_heavy() -> None:
    """In a fresh process; what flax and optax load themselves is not ours to mend."""
    outside = {"data", "storage", "report", "build", "traced", "runs", "export"}
    outside.add("__main__")
    core = [n for n in FILES if part(n) not in outside]
    loaded = set(loaded_by(f"for name in {core}: importlib.import_module(name)"))
    assert "vae_jax" in loaded
    assert not loaded & (HEAVY | CONFIG | {"absl"})


def test_importing_computes_nothing() -> None:
    """A device that is in use can't be shared with a process that is forked."""
    modules = [name for name in FILES if part(name) != "__main__"]
    program = (
        "import importlib\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)


def test_import_vae_jax_brings_in_itself_only() -> None:
    """Beyond jax, flax and optax, which a project that imports it has anyway."""
    loaded = loaded_by(
        "import vae_jax", "for name in vae_jax.__all__:", "    getattr(vae_jax, name)"
    )
    assert set(loaded) - set(sys.stdlib_module_names) == {"vae_jax"}
    assert len(vae_jax.__all__) <= 40  # what one can hold in the head


def test_the_names_of_vae_jax_are_imported_when_they_are_used() -> None:
    """So that help and lists of files need not wait for JAX."""
    program = (
        "import sys, vae_jax; assert 'jax' not in sys.modules\n"
        "vae_jax.VAE; assert 'jax' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)
    assert {*vae_jax._HOMES, "open_run"} == set(vae_jax.__all__) <= set(dir(vae_jax))
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    known = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        for line in node.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert known >= {*vae_jax._HOMES}  # what type checkers see
