"""How what surrounds a training grows with the data set and with the members of a grid.

    python -m benchmarks.around [--images=1000,10000,...] [--members=10,100,...]
        [--out=FILE.png] [--json=FILE]

Each number is of a process of its own: the processor time of one call, without imports,
and the most memory that the process held. A run is a small MLP of two steps on made-up
images, a tenth of them for tests; members of a grid are such runs with files of equal
size and no checkpoints, as if they had been trained.

- resume: a training goes on for two more steps.
- evaluate: the measures of configs/default.py with ten samples, on the test split.
- open_run: the model of a run; `open_run` of a member is the same.
- plan: what `ablate` does with a new grid before it loads data.
- start again: `ablate` on a finished grid, which reads its results.
- report: the page that compares all members.
"""

import json
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from benchmarks.common import RSS_UNIT, make_images, make_parser, save
from configs import default
from vae_jax import build
from vae_jax.evaluation.measures import Effort
from vae_jax.runs import (
    finish,
    finished,
    grid,
    identity,
    members,
    opened,
    remeasure,
    single,
    sweep,
)
from vae_jax.storage.records import read_json, write_json

STEPS = 2
SEEDS = 5  # the other members differ in the KL weight
DRAWS = 10  # of the NLL
OF_IMAGES = ("open_run", "resume", "evaluate")
OF_MEMBERS = ("plan", "start again", "report")
AXES = {"images": OF_IMAGES, "members": OF_MEMBERS}
Row = dict[str, float | str]


def make_config(folder: pathlib.Path, num_steps: int = STEPS) -> ConfigDict:
    """A small MLP on the images of a folder."""
    config = default.get_config()
    config.data.name = f"npz:{folder / 'images.npz'}"
    config.data.validation_fraction = 0.01
    config.mlp.hidden_dims = (50,)
    config.model.latent_dim = 4
    config.train.num_steps = num_steps
    config.eval.num_samples = 1
    config.eval.measures = ("likelihood",)
    config.eval.figures = False
    return config


def sweeps(count: int) -> list[str]:
    """KL weights for so many members."""
    weights = ",".join(str(m / 1000) for m in range(1, count // SEEDS + 1))
    return [f"hparams.kl_weight={weights}"]


def make_run(folder: pathlib.Path, count: int) -> None:
    """Images and a run that was trained on them."""
    images = make_images(count, (28, 28, 1))
    cut = count - count // 10
    np.savez(folder / "images.npz", x_train=images[:cut], x_test=images[cut:])
    single.train(make_config(folder), folder / "run")


def make_grid(folder: pathlib.Path, count: int) -> None:
    """A run, and a finished grid of copies of its files with other results."""
    make_run(folder, 1000)
    data = read_json(folder / "run" / "data.json")
    results = identity.read_results(folder / "run")
    entries = sweep.members(make_config(folder), sweeps(count), SEEDS)
    new = identity.Standing(is_new=True)
    for number, entry in enumerate(entries):
        place = members.folder(folder / "grid", entry.name)
        identity.claim(place, entry.config, data, new)
        shifted = {k: v and v * (1 + number / count) for k, v in results.items()}
        write_json(place / "results.json", shifted)
    write_json(folder / "grid" / "grid.json", members.describe(entries, "vmap"))


def calls(folder: pathlib.Path, count: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    config = make_config(folder)

    def plan() -> None:
        entries = sweep.members(config, sweeps(count), SEEDS)
        members.compare(folder / "new", entries, "vmap")
        sweep.programs(entries, count)

    def report() -> None:
        from vae_jax.report.page import write_report

        runs = finished.read_finished([folder / "grid"])
        write_report(
            folder / "report",
            runs.rows,
            runs.folders,
            quantities=finish.quantities(),
            swept=runs.swept,
            config=runs.shared,
            commands=[],
            title="grid",
        )

    def evaluate() -> None:
        run = opened.open_run(folder / "run")
        names = default.get_config().eval.measures
        remeasure.remeasure(run, names, Effort(num_samples=DRAWS))

    return {
        "open_run": lambda: opened.open_run(folder / "run"),
        "resume": lambda: single.train(
            make_config(folder, 2 * STEPS), folder / "run", mesh={"data": 1}
        ),
        "evaluate": evaluate,
        "plan": plan,
        "start again": lambda: grid.train_grid(
            config, folder / "grid", sweeps(count), SEEDS
        ),
        "report": report,
    }


def child(name: str, folder: pathlib.Path, count: int) -> None:
    """Prints what one call takes, as JSON."""
    build.check(default.get_config())  # imports what every program imports
    call = calls(folder, count)[name]
    start = time.process_time()
    call()
    taken = time.process_time() - start
    print(json.dumps({"seconds": taken, "peak_mb": peak_memory() / 1e6}))


def peak_memory() -> int:
    """The most bytes that this process held.

    Linux counts in `ru_maxrss` what the parent held when it started the process, too.
    """
    status = pathlib.Path("/proc/self/status")
    if status.is_file():
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def measure(axis: str, counts: Sequence[int]) -> list[Row]:
    """A row for each size and each thing that is done with it; prints them."""
    rows: list[Row] = []
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            make = {"images": make_run, "members": make_grid}[axis]
            make(pathlib.Path(name), count)
            for kind in AXES[axis]:
                command = [sys.executable, "-m", "benchmarks.around"]
                command += ["--child", kind, name, str(count)]
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                told = json.loads(done.stdout.splitlines()[-1])
                rows.append({"axis": axis, "count": count, "what": kind, **told})
                print(
                    f"{count:9,d} {axis:8} {kind:12} {told['seconds']:9.2f}"
                    f" {told['peak_mb']:9.0f}",
                    flush=True,
                )
    return rows


def draw(rows: Sequence[Mapping[str, float | str]], path: pathlib.Path) -> None:
    """Processor time above and memory below; both axes logarithmic."""
    from vae_jax.report import style

    figure = style.new_figure(6.5)
    panels = figure.subplots(2, 2, sharey="row")
    for column, (axis, kinds) in enumerate(AXES.items()):
        for line, (key, label) in enumerate(
            {"seconds": "processor seconds", "peak_mb": "MB of the process"}.items()
        ):
            panel = panels[line, column]
            for number, kind in enumerate(kinds):
                own = [row for row in rows if row["what"] == kind]
                panel.plot(
                    [row["count"] for row in own],
                    [row[key] for row in own],
                    "o-",
                    color=style.PALETTE[number],
                    label=kind,
                )
            title = {"images": "images of the data set"}.get(axis, "members of a grid")
            style.label_axes(panel, "", title if line else "", "" if column else label)
            panel.set_xscale("log")
            panel.set_yscale("log")
            if not line:
                panel.legend(fontsize=style.TEXT - 2, frameon=False)
    style.save_figure(figure, path)


def main() -> None:
    """Prints the table and draws the figure."""
    parser = make_parser(__doc__, rounds=1)
    numbers = {"type": lambda text: [int(n) for n in text.split(",")]}
    parser.add_argument("--images", default=[1_000, 10_000, 100_000], **numbers)
    parser.add_argument("--members", default=[10, 100, 1_000, 10_000], **numbers)
    parser.add_argument("--out", type=pathlib.Path, default="runs/around.png")
    parser.add_argument("--child", nargs=3)
    flags = parser.parse_args()
    if flags.child:
        name, folder, count = flags.child
        child(name, pathlib.Path(folder), int(count))
        return
    print(f"{'count':>9} {'of':8} {'what':12} {'CPU s':>9} {'MB':>9}")
    rows = measure("images", flags.images) + measure("members", flags.members)
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    draw(rows, flags.out)
    print(flags.out)
    save(rows, flags.json)


if __name__ == "__main__":
    main()
