"""How the time of a step grows with batch, width, members and the size of the data.

    python -m benchmarks.growth [--rounds=5] [--out=FILE.png] [--json=FILE]

One quantity at a time, the others as in the MLP of benchmarks/train.py, 784-400-20-
400-784 with batches of 128, on 10,000 images. All cases take turns; the figure shows
medians and the spread of the rounds. Times are those of the processor, both cores
together, so that other programs on the machine count little.
"""

import functools
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from benchmarks.common import make_chunk, make_images, make_parser, save, take_turns
from configs import default

STEPS = 20  # per timed call
SHAPE = (28, 28, 1)
NUM_IMAGES = 10_000
AXES: Mapping[str, tuple[int, ...]] = {
    "batch": (8, 32, 128, 512, 2_048),
    "width": (50, 100, 200, 400, 800, 1_600, 3_200),
    "members": (1, 2, 4, 8, 16, 32),
    "images": (1_000, 10_000, 100_000, 1_000_000),
}
TITLES = {
    "batch": "images of a batch",
    "width": "width of a hidden layer",
    "members": "members of an ensemble",
    "images": "images of the data set",
}
LEFT = ("batch", "members")  # panels that begin a row


def make_config(**changes: int) -> ConfigDict:
    """The MLP, with another batch or width."""
    config = default.get_config()
    config.mlp.hidden_dims = (changes.get("width", 400),)
    config.model.latent_dim = 20
    config.data.batch_size = changes.get("batch", 128)
    return config


def make_cases() -> dict[tuple[str, int], Callable[[], float]]:
    """(axis, value) -> a function that gives seconds per step."""
    images = make_images(max(AXES["images"]), SHAPE)
    chunk = functools.partial(make_chunk, clock=time.process_time)
    cases = {}
    for axis, values in AXES.items():
        for value in values:
            config = make_config(**{axis: value})
            some = images[: value if axis == "images" else NUM_IMAGES]
            if axis == "members":
                case = chunk(config, some, STEPS, "vmap", value, {"member": 1})
            else:
                case = chunk(config, some, STEPS, mesh={"data": 1})
            cases[axis, value] = case
    return cases


def draw(taken: Mapping[tuple[str, int], list[float]], path: pathlib.Path) -> None:
    """A panel for each quantity, both axes logarithmic."""
    from vae_jax.report import style

    figure = style.new_figure(6.5)
    panels = figure.subplots(2, 2, sharey=True).flat
    for panel, (axis, values) in zip(panels, AXES.items(), strict=True):
        times = [[1e3 * t for t in taken[axis, value]] for value in values]
        medians = [statistics.median(own) for own in times]
        proportional = [medians[-1] * value / values[-1] for value in values]
        panel.plot(values, proportional, "--", color=style.GREY, label="proportional")
        least, most = [min(own) for own in times], [max(own) for own in times]
        panel.fill_between(values, least, most, color=style.BLUE, alpha=0.25)
        panel.plot(values, medians, "o-", color=style.BLUE, label="measured")
        style.label_axes(
            panel, "", TITLES[axis], "CPU ms per step" if axis in LEFT else ""
        )
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_ylim(0.3, 600)
    figure.axes[0].legend(fontsize=style.TEXT - 2, frameon=False)
    style.save_figure(figure, path)


def main() -> None:
    """Prints the table and draws the figure."""
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("--out", type=pathlib.Path, default="runs/growth.png")
    flags = parser.parse_args()
    taken = take_turns(make_cases(), flags.rounds)
    print("quantity       value  CPU ms per step        spread")
    table = []
    for (axis, value), values in taken.items():
        times = [1e3 * t for t in values]
        median, least, most = statistics.median(times), min(times), max(times)
        table.append(
            {
                "quantity": axis,
                "value": value,
                "ms_per_step": median,
                "spread": [least, most],
            }
        )
        spread = f"{least:.2f}-{most:.2f}"
        print(f"{axis:8} {value:11,d} {median:16.2f} {spread:>13}")
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    draw(taken, flags.out)
    print(flags.out)
    save(table, flags.json)


if __name__ == "__main__":
    main()
