"""Flipped bits, cut and missing files, and values edited by hand."""

import json
import pathlib
import shutil
from typing import Any

import numpy as np

from tests.torture import snapshot
from tests.torture.outcome import Outcome
from tests.torture.programs import Ended
from tests.torture.world import World
from vae_jax.data.spec import DataSpec
from vae_jax.errors import VAEJaxError
from vae_jax.runs import identity
from vae_jax.runs.best import abstract_saved
from vae_jax.storage.checkpoints import Checkpoints

FLIPS = 8  # checkpoints that one trial damages
FILES = 3  # small files that one trial damages
LAST = 210  # the step where the unfinished run of these trials stopped
SAID = "has changed since it was written"  # a changed file
DEEP = "[" * 20_000
STRANGE: tuple[Any, ...] = ("text", None, [], {}, -1, 0, 1e30, True, [1, "a"])


def checkpoints(
    world: World, rng: np.random.Generator, folder: pathlib.Path
) -> Outcome:
    """Damages files of the newest step, or of both, and restores; trains once."""
    outcome = Outcome()
    for number in range(FLIPS):
        workdir = world.copy("train", folder / str(number))
        steps = snapshot.steps(workdir)
        for step in steps[:-2]:
            shutil.rmtree(step)
        kept = steps[-2:]
        damaged = kept if rng.random() < 0.25 else kept[-1:]
        what = [_harm(rng, _a_file(rng, step)) for step in damaged]
        outcome.count("damaged")
        try:
            restored = _restore(workdir)
        except VAEJaxError as error:
            outcome.count("refused" if len(damaged) == 2 else "wrongly refused")
            one_line = "\n" not in str(error) and len(damaged) == 2
            outcome.require(one_line, f"{what}: {error}")
            continue
        assert restored is not None
        step, tree, _ = restored
        is_newest = step == int(kept[-1].name)
        outcome.count("harmless" if is_newest else "set aside")
        right = snapshot.digest(tree) == _state(world, step)
        outcome.require(right, f"{what}: step {step} is silently wrong")
    workdir = world.unfinished(folder / "run", LAST)
    what = [_harm(rng, _a_file(rng, workdir / "checkpoints" / str(LAST)))]
    outcome.count("damaged and trained further")
    program = Outcome()
    world.finish(program, "train", workdir)
    outcome.add_at(program, f"train, {what}")
    return outcome


def small_files(
    world: World, rng: np.random.Generator, folder: pathlib.Path
) -> Outcome:
    """Damages config, data, results or metrics, and runs what reads them."""
    outcome = Outcome()
    for number in range(FILES):
        (folder / str(number)).mkdir()
        outcome.add(_small_file(world, rng, folder / str(number)))
    return outcome


def _small_file(
    world: World, rng: np.random.Generator, folder: pathlib.Path
) -> Outcome:
    outcome = Outcome()
    outcome.count("damaged")
    name, program = [
        ("config.json", "train"),
        ("config.json", "evaluate"),
        ("data.json", "train"),
        ("data.json", "evaluate"),
        ("results.json", "train"),
        ("results.json", "report"),
        ("metrics.jsonl", "train"),
        ("metrics.jsonl", "report"),
    ][rng.integers(8)]
    workdir = folder / "run"
    if program == "train" and name != "results.json":
        world.unfinished(workdir, LAST)
    else:
        world.copy("train", workdir)
    path = workdir / name
    before = _parsed(path)
    edit = name != "metrics.jsonl" and rng.random() < 0.5
    what = f"{name}, {program}: {_edit(rng, path) if edit else _harm(rng, path)}"
    changed = path.is_file() and _parsed(path) != before
    ended = _read(world, program, workdir, folder)
    broken = Outcome()
    ended.check_tidy(broken)
    if ended.status:
        outcome.count("one line")
        ended.check_error(broken)
    else:
        outcome.count("noticed by its checksum" if SAID in ended.err else "harmless")
        # The lines of metrics.jsonl have no checksum: a digit may change unnoticed.
        if name == "metrics.jsonl":
            right = snapshot.state(workdir / "checkpoints" / "240")
            broken.require(right == _state(world, 240), "other parameters")
        else:
            broken.require(SAID in ended.err or not changed, "not a word of the change")
            if program == "train" and name != "results.json":
                world.compare(broken, "train", workdir)
    outcome.add_at(broken, what)
    return outcome


def _read(
    world: World, program: str, workdir: pathlib.Path, folder: pathlib.Path
) -> Ended:
    if program == "train":
        return world.run("train", workdir)
    if program == "evaluate":
        return world.run("evaluate", workdir, "--num_samples=3")
    both = f"--workdirs={workdir},{world.other.workdir}"
    return world.run("report", None, both, f"--out={folder / 'report'}")


def _restore(workdir: pathlib.Path) -> Any:
    with snapshot.READING:
        config, data = identity.read_config(workdir), identity.read_data(workdir)
        run = identity.digest(config.to_dict(), data)
        abstract = abstract_saved(config, DataSpec.from_json(data))
        return Checkpoints(workdir / "checkpoints", run=run).restore(abstract)


def _state(world: World, step: int) -> str:
    return world.train.snapshot.states[f"checkpoints/{step}"]


def _a_file(rng: np.random.Generator, folder: pathlib.Path) -> pathlib.Path:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return files[rng.integers(len(files))]


def _harm(rng: np.random.Generator, path: pathlib.Path) -> str:
    """Flips a bit, cuts, empties with zeros or removes; says which."""
    content = bytearray(path.read_bytes())
    place = int(rng.integers(max(len(content), 1)))
    where = f"{path.name}, byte {place} of {len(content)}"
    kind = rng.choice(["flip", "flip", "flip", "cut", "zeros", "removed"])
    if kind == "removed":
        path.unlink()
        return f"{path.name} removed"
    if kind == "flip" and content:
        content[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del content[place:]
    else:
        content[:] = bytes(len(content))
    path.write_bytes(bytes(content))
    return f"{where}, {kind}"


def _edit(rng: np.random.Generator, path: pathlib.Path) -> str:
    """Gives a key another value, or removes it, or nests too deeply."""
    content = json.loads(path.read_bytes())
    place = content
    names: list[str] = []
    while isinstance(place, dict) and place:
        key = sorted(place)[rng.integers(len(place))]
        names.append(key)
        parent, place = place, place[key]
    kind = rng.integers(len(STRANGE) + 2)
    if kind < len(STRANGE):
        parent[key] = STRANGE[kind]
    else:
        del parent[key]
    text = json.dumps(content)
    if kind > len(STRANGE):
        text = f'{text[:-1]}, "deep": {DEEP}'
    path.write_text(text)
    made = STRANGE[kind] if kind < len(STRANGE) else "removed"
    return f"{'.'.join(names)} is {made!r}"


def _parsed(path: pathlib.Path) -> Any:
    """What a reader takes from a file, without its checksum."""
    try:
        content = json.loads(path.read_bytes())
        return {k: v for k, v in content.items() if k != "checksum"}
    except (OSError, ValueError, AttributeError, RecursionError):
        return path.read_bytes() if path.is_file() else None
