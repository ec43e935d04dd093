"""Encodes and decodes images of your own.

    python -m experiments.reconstruct --workdir=runs/mnist --images=PHOTOS --out=DIR

--images is a folder of PNG or JPEG files or one of them; images are cut, resized
and turned grey as the model needs. Writes DIR/reconstructions.png (originals above,
reconstructions below) and DIR/reconstructions.npz with `x`, `mean` and `code`.
"""

import pathlib

import numpy as np

from experiments import cli
from vae_jax.runs import opened
from vae_jax.workdir import plots
from vae_jax.workdir.files import writing

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_IMAGES = cli.define_path("images", None, "Folder of images, or one image.")
_OUT = cli.define_path("out", None, "Folder for the results; made if missing.")


def main() -> None:
    """Reconstructs and writes."""
    cli.required(workdir=_WORKDIR.value, images=_IMAGES.value, out=_OUT.value)
    run = opened.open_run(_WORKDIR.value)
    result = opened.reconstruct(run, pathlib.Path(_IMAGES.value))
    out = pathlib.Path(_OUT.value)
    with writing(f"--out={out}"):
        out.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(out / "reconstructions.npz", **result)
        shown = slice(0, 16)
        plots.reconstructions(
            result["x"][shown], result["mean"][shown], out / "reconstructions.png"
        )
    print(f"{len(result['x'])} reconstructions in {out}")


if __name__ == "__main__":
    cli.run(main)
