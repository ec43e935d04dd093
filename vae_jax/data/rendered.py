"""Images that are a function of factors of variation, and are drawn when looked at.

What is stored of such an image is its row of factors, a few bytes. The rows go to the
device in the place of pixels, and `batches.preprocessor` draws the images of a batch
inside the compiled step.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from vae_jax.data.spec import Levels
from vae_jax.types import Array

ROWS_PER_CHUNK = 512  # images that are drawn at a time where pixels are asked for
Render = Callable[[Array], Array]


class Rendering(NamedTuple):
    """A family of images, one for each combination of some factors."""

    # factors [B, F], int32 -> images [B, H, W, C], uint8. In whole numbers throughout,
    # so that pixels on an edge are the same in every compiled program.
    render: Render
    image_shape: tuple[int, int, int]  # (H, W, C)
    levels: Levels  # values of the pixels, see `Dataset.levels`
    factors: Mapping[str, int]  # how many values each factor takes, by its name

    def combinations(self) -> np.ndarray:
        """Every combination of the factors once, the last one changing fastest.

        Returns:
            Array [N, F] of the smallest type that holds the values, such as uint8.
        """
        sizes = tuple(self.factors.values())
        small = np.min_scalar_type(max(sizes) - 1)
        columns = np.indices(sizes, small).reshape(len(sizes), -1)
        return np.ascontiguousarray(columns.T)


@dataclasses.dataclass(frozen=True, eq=False)
class RenderedImages:
    """Images as an array [N, H, W, C] of uint8 that holds their factors only.

    Taking rows, by a slice, a mask or row numbers, draws nothing; `np.asarray` draws
    them all.
    """

    factors: np.ndarray  # of each image, [N, F], whole numbers
    rendering: Rendering  # draws the images

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return len(self.factors), *self.rendering.image_shape

    @property
    def nbytes(self) -> int:
        """Bytes that are held, those of the factors."""
        return self.factors.nbytes

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, rows: Any) -> "RenderedImages":
        """The images in these rows."""
        factors = None if isinstance(rows, tuple) else self.factors[rows]
        if factors is None or factors.ndim != 2:
            raise TypeError(
                f"images that are drawn are taken by rows, not by {rows!r}:"
                " np.asarray(images[rows]) gives their pixels"
            )
        return RenderedImages(factors, self.rendering)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> np.ndarray:
        if copy is False:
            raise ValueError("images that are drawn have no pixels to share")
        draw = _compiled(self.rendering.render)
        images = np.empty(self.shape, self.dtype)
        for start in range(0, len(self), ROWS_PER_CHUNK):
            some = self.factors[start : start + ROWS_PER_CHUNK]
            # One length for all: each would be a program of its own.
            padded = np.resize(some, (ROWS_PER_CHUNK, some.shape[1]))
            images[start : start + len(some)] = np.asarray(draw(padded))[: len(some)]
        return images if dtype is None else images.astype(dtype)


Images = np.ndarray | RenderedImages


def stored(images: Images) -> np.ndarray:
    """What is kept of images: their pixels, or the factors that they are drawn from."""
    return images.factors if isinstance(images, RenderedImages) else images


def render_of(images: Images) -> Render | None:
    """What draws images of what is stored of them; None where those are the images."""
    return images.rendering.render if isinstance(images, RenderedImages) else None


def drawn(render: Render, factors: Array) -> Array:
    """Images of factors with any axes in front, [..., F] -> [..., H, W, C].

    They are drawn in a loop over two halves, whose result is stored: XLA would take a
    drawing apart, and draw anew in each place that uses the images. A half is every
    other image, so that devices that share a batch each draw their own.
    """
    rows = factors.reshape(-1, factors.shape[-1]).astype(jnp.int32)
    count = len(rows)
    padded = jnp.pad(rows, ((0, count % 2), (0, 0)), mode="edge")
    halves = padded.reshape(-1, 2, rows.shape[1]).swapaxes(0, 1)
    images = jax.lax.map(render, halves).swapaxes(0, 1)
    images = images.reshape(-1, *images.shape[2:])[:count]
    return images.reshape(*factors.shape[:-1], *images.shape[1:])


@functools.cache
def _compiled(render: Render) -> Callable[[np.ndarray], Array]:
    return jax.jit(functools.partial(drawn, render))
