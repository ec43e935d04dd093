"""Draws a picture of docs/gallery.md from a trained run: its draws, as a small PNG.

    python docs/gallery/draw.py --workdir=DIR --out=docs/gallery/NAME.png

With --reconstructions it has test images in its odd rows and what the model makes of
each below it, for codes whose own prior is not meant to be drawn from.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image

import vae_jax

ROWS, GAP, WIDTH = 4, 2, 720


def strip(pictures: np.ndarray) -> Image.Image:
    """Pictures [ROWS * C, H, W, channels] in [0, 1] as one, with gaps between them."""
    number, height, width, channels = pictures.shape
    tiles = np.ones((ROWS, number // ROWS, height + GAP, width + GAP, channels))
    tiles[:, :, :height, :width] = pictures.reshape(ROWS, -1, *pictures.shape[1:])
    sheet = tiles.swapaxes(1, 2).reshape(ROWS * (height + GAP), -1, channels)
    pixels = (255 * sheet[:-GAP, :-GAP].clip(0, 1)).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    scale = max(1, WIDTH // image.width)
    return image.resize((scale * image.width, scale * image.height), Image.NEAREST)


def main() -> None:
    """Draws it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--prior", help="a fitted prior in place of the model's own")
    parser.add_argument("--data_dir", help="where the data of the run lie")
    parser.add_argument("--reconstructions", action="store_true")
    parser.add_argument("--columns", type=int, default=12)
    given = parser.parse_args()
    run = vae_jax.open_run(given.workdir)
    if given.prior:
        run = run.with_prior(given.prior)
    if given.reconstructions:
        images = run.dataset(given.data_dir).test.images[: ROWS // 2 * given.columns]
        made = run.reconstruct(images)["mean"]
        pairs = [images / 255.0, made]
        rows = [p.reshape(ROWS // 2, given.columns, *p.shape[1:]) for p in pairs]
        pictures = np.stack(rows, axis=1).reshape(-1, *made.shape[1:])
    else:
        pictures = run.sample(ROWS * given.columns)
    strip(pictures).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
