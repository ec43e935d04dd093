"""Trains the models of docs/lesson.md, draws its figures and writes its numbers.

    python -m docs.lesson_tools --out=docs/lesson --data_dir=DIR

On MNIST, of which DIR holds a copy (see experiments/prepare_data.py), or without
--data_dir on 5,000 of its training images, which need no download: a plain autoencoder
and VAEs with several KL weights, each with 2 and with 16 latent dimensions, and a
regularised autoencoder with 16. Writes the figures, OUT/*.png and OUT/*.svg, the
explorer of the codes of two numbers, OUT/explorer.html, and the numbers,
OUT/lesson.json, and brings the numbers in OUT.md and OUT.es.md up to date. A second run
continues where the first was interrupted and trains nothing twice.
"""

from absl import flags

from docs.lesson_tools.lesson import teach
from docs.lesson_tools.trained import make_config
from experiments import cli

_OUT = cli.define_path("out", None, "Folder of figures and numbers: docs/lesson.")
_DATA_DIR = cli.define_path("data_dir", None, "Where MNIST lies; else: mnist_5k.")
_WORKDIR = cli.define_path("workdir", "runs/lesson", "Folder of the trained runs.")
_NUM_STEPS = flags.DEFINE_integer("num_steps", 3000, "Training steps of each model.")


def main() -> None:
    """Reads the flags."""
    cli.required(out=_OUT.value)
    out = _OUT.value
    config = make_config(_DATA_DIR.value, _NUM_STEPS.value)
    teach(config, _WORKDIR.value, out)
    print(f"figures and numbers: {out}")


if __name__ == "__main__":
    cli.run(main)
