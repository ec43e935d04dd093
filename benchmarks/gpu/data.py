"""Writes what `benchmarks.gpu` trains on, from prepared TFDS sets.

python -m benchmarks.gpu.data --data_dir=DATA --out=DIR

DATA holds mnist and binarized_mnist; DIR/mnist.npz and DIR/binarized.npz are written,
15 MB in all.
"""

import argparse
import pathlib

import numpy as np

from vae_jax.data import tfds_sources
from vae_jax.errors import DataError


def main() -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    for name, file in (("mnist", "mnist.npz"), ("binarized_mnist", "binarized.npz")):
        try:
            loaded = tfds_sources.read_set(name, flags.data_dir)
        except DataError as error:
            raise SystemExit(f"--data_dir: {error}") from None
        assert loaded is not None  # TFDS knows both names
        splits = loaded.splits.items()
        arrays = {f"x_{split}": np.asarray(own.images) for split, own in splits}
        np.savez_compressed(flags.out / file, **arrays)
        print(flags.out / file)


if __name__ == "__main__":
    main()
