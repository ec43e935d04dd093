"""XYSquares: three squares on a coarse grid, on which VAEs fail by design.

A red, a green and a blue square of 8x8 pixels stand at one of 8x8 places each,
independently, in an image of 64x64 (Michlo et al. 2022, arXiv:2202.13341; the generator
of the package `disent`, MIT). Two different places never overlap, so that the distance
of two images in pixels says whether a square has moved, and not how far. What a
reconstruction loss sees has no order along a factor, and neither have the codes of a
VAE.
"""

import jax.numpy as jnp

from vae_jax.data.dataset import Split
from vae_jax.data.rendered import RenderedImages, Rendering
from vae_jax.data.source import Loaded, Options, Source
from vae_jax.types import Array

SQUARE = 8  # pixels of a side, and of a step
PLACES = 8
SIDE = SQUARE * PLACES
FACTORS = {f"{axis}_{colour}": PLACES for colour in ("r", "g", "b") for axis in "xy"}


def render(factors: Array) -> Array:
    """Draws images.

    Args:
        factors: [B, 6], whole numbers from 0 to 7: the column and the row of the red,
            of the green and of the blue square.

    Returns:
        Images [B, 64, 64, 3], uint8, 0 and 255.
    """
    places = jnp.asarray(factors, jnp.int32).reshape(-1, 1, 1, 3, 2)
    cell = jnp.arange(SIDE, dtype=jnp.int32) // SQUARE
    in_column = places[..., 0] == cell[None, None, :, None]
    in_row = places[..., 1] == cell[None, :, None, None]
    return (in_column & in_row).astype(jnp.uint8) * 255


SQUARES = Rendering(render, (SIDE, SIDE, 3), "binary", FACTORS)


def _load(name: str, options: Options) -> Loaded:
    del name, options
    factors = SQUARES.combinations()
    split = Split(RenderedImages(factors, SQUARES), factors=factors)
    return Loaded({"train": split}, factor_names=tuple(FACTORS))


SOURCE = Source(_load, render=render)
