"""dSprites, rendered anew: white shapes at any size, angle and place.

Matthey et al. 2017 published 64x64 images of a square, an ellipse and a heart in six
sizes, 40 angles and 32x32 places (https://github.com/google-deepmind/dsprites-dataset),
737,280 in all, black and white, without smoothed edges, and without their generator.
The geometry here is fitted to 320 published frames: of the 254 different ones among
them, 253 are drawn pixel for pixel as published, and two pixels of the other one
differ.

As in the published set, the angles 0 and 39 are the same one, and a square looks the
same after a quarter of a turn, an ellipse after half of one. Neither is a multiple of
the step from one angle to the next, so that those images are not quite equal; but
715,752 of the 737,280 images are all that differ, and no code can tell all angles
apart.
"""

import functools

import jax.numpy as jnp
import numpy as np

from vae_jax.data.dataset import Split
from vae_jax.data.rendered import RenderedImages, Rendering
from vae_jax.data.source import Loaded, Options, Source
from vae_jax.types import Array

SHAPES = ("square", "ellipse", "heart")
FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
SIDE = 64  # pixels

# Measured on the published frames, in pixels, at the largest of the six sizes. Each
# interval of values that fit the frames best is narrower than 0.003.
SQUARE = 9.598  # half a side
ELLIPSE = (12.7735, 7.2245)  # half axes of the 60 corners
HEART = (9.5939, 0.66219, 1.4364)  # half width, pixels per unit of y, offset

# Lengths are whole numbers, so that rounding can't depend on how the program is
# compiled. The places are 32/31 pixels apart, so the distance of a pixel's centre from
# that of the shape is a multiple of 1/62 pixel, and cosines are multiples of 2^-18.
PARTS = 62
_TURN = 2**18
_PIXEL = PARTS * _TURN  # one pixel in the coordinates of the shape; 2^31 is 132 of them
_CELL = 2**14  # step of the tables of the outlines, 1/992 pixel
_REACH = 16 * PARTS  # no shape has a larger radius, and 2^31 is not reached


def render(factors: Array) -> Array:
    """Draws images, the same bits in every program.

    A pixel is white where its centre lies in the shape. In the coordinates (u, v) of
    the shape, turned and scaled, each of the three is symmetric in u and has one
    interval of v inside at every |u|: its ends are read from a table.

    Args:
        factors: [B, 5], whole numbers: shape (as in `SHAPES`), scale (0 to 5: half to
            full size), orientation (0 to 39: a whole turn), x and y (0 to 31: from 16
            to 48 pixels from the left and from the top).

    Returns:
        Images [B, 64, 64, 1], uint8, 0 and 255.
    """
    columns = jnp.asarray(factors, jnp.int32)[:, :, None, None]
    shape, scale, orientation, x, y = (columns[:, i] for i in range(5))
    turns, widths, limits = (jnp.asarray(table) for table in _tables())
    cos, sin = turns[0, scale, orientation], turns[1, scale, orientation]
    pixels = jnp.arange(SIDE, dtype=jnp.int32) * PARTS + PARTS // 2 - 16 * PARTS
    dx = jnp.clip(pixels[None, None, :] - 64 * x, -_REACH, _REACH)
    dy = jnp.clip(pixels[None, :, None] - 64 * y, -_REACH, _REACH)
    width, v = jnp.abs(cos * dx - sin * dy), sin * dx + cos * dy
    cell = jnp.minimum(width // _CELL, limits.shape[2] - 1)
    low, high = limits[shape, 0, cell], limits[shape, 1, cell]
    inside = (width <= widths[shape]) & (low <= v) & (v <= high)
    return inside[..., None].astype(jnp.uint8) * 255


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines and sines over the size, [2, 6, 40]; half widths, [3]; and the ends of v.

    The last are [3, 2, cells], at the middle of each cell of |u|.
    """
    angles = np.linspace(0, 2 * np.pi, FACTORS["orientation"])
    sizes = np.linspace(0.5, 1, FACTORS["scale"])[:, None]
    turns = np.stack([np.cos(angles) / sizes, np.sin(angles) / sizes])
    half_step = np.pi / 60  # the corners of the ellipse lie half a step beside its axes
    widths = np.array([SQUARE, ELLIPSE[0] * np.cos(half_step), HEART[0]])
    u = (np.arange(widths.max() * _PIXEL // _CELL + 1) + 0.5) * _CELL / _PIXEL
    square, ellipse = np.full_like(u, SQUARE), _ellipse(u)
    limits = [(-square, square), (-ellipse, ellipse), _heart(u)]
    return (
        np.rint(turns * _TURN).astype(np.int32),
        np.rint(widths * _PIXEL).astype(np.int32),
        np.rint(np.array(limits) * _PIXEL).astype(np.int32),
    )


def _ellipse(u: np.ndarray) -> np.ndarray:
    """Half the height of the ellipse, a polygon of 60 corners, at u of 0 or more."""
    corners = (np.arange(15, -1, -1) - 0.5) * 2 * np.pi / 60
    return np.interp(u, ELLIPSE[0] * np.cos(corners), ELLIPSE[1] * np.sin(corners))


def _heart(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower end of the heart at u of 0 or more; v points downwards.

    Its outline is u = a sin^3 t, v = -b (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) - c.
    A u fixes sin t, and the sign of cos t chooses the upper or the lower end.
    """
    a, b, c = HEART
    angle = np.arcsin(np.cbrt(np.minimum(u / a, 1)))

    def v(t: np.ndarray) -> np.ndarray:
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return -b * y - c

    return v(angle), v(np.pi - angle)


SPRITES = Rendering(render, (SIDE, SIDE, 1), "binary", FACTORS)


def _load(name: str, options: Options) -> Loaded:
    del name, options
    factors = SPRITES.combinations()
    shapes = factors[:, 0].astype(np.int32)
    split = Split(RenderedImages(factors, SPRITES), shapes, factors=factors)
    return Loaded({"train": split}, SHAPES, factor_names=tuple(FACTORS))


SOURCE = Source(_load, render=render)
