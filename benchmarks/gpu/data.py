"""Writes what `benchmarks.gpu` trains on, from prepared TFDS sets.

python -m benchmarks.gpu.data --data_dir=DATA --out=DIR

DATA holds mnist and binarized_mnist; DIR/mnist.npz and DIR/binarized.npz are written,
15 MB in all.
"""

import argparse
import pathlib

import numpy as np

from configs import default
from vae_jax import build
from vae_jax.data.dataset import SPLITS


def main() -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    for name, file, splits in (
        ("mnist", "mnist.npz", ("train", "test")),
        ("binarized_mnist", "binarized.npz", SPLITS),
    ):
        config = default.get_config()
        config.data.name, config.data.dir = name, flags.data_dir
        config.data.validation_fraction = 0.0
        dataset = build.make_dataset(config)
        arrays = {f"x_{split}": np.asarray(dataset.images(split)) for split in splits}
        np.savez_compressed(flags.out / file, **arrays)
        print(flags.out / file)


if __name__ == "__main__":
    main()
