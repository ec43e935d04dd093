"""A convolution that is as fast as the machine allows, on CPUs as on accelerators."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from vae_jax.types import Array

FEW_CHANNELS = 16  # with fewer, cuDNN is slow
SMALL_KERNEL = 2  # pixels along H and W; with no more, cuDNN is slow
Pads = Sequence[tuple[int, int]]


def convolve(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: str | Pads,
    *,
    dimension_numbers: lax.ConvDimensionNumbers | tuple[str, str, str] | None,
    **settings: Any,
) -> Array:
    """`lax.conv_general_dilated`, written as products of matrices where that is faster.

    On a CPU, XLA's convolutions have slow gradients, and both are many times slower
    still inside a compiled loop; its products of matrices are neither. On an NVIDIA
    GPU, cuDNN's convolutions are the faster but for those of `is_one_product`. The
    parameters and, up to rounding, the values are the same on every platform.

    Meant for `flax.linen.Conv(..., conv_general_dilated=convolve)`, whose argument the
    signature follows.

    Args:
        x: [B, H, W, C].
        kernel: [h, w, C, F].
        strides: along H and W; each divides the size of the kernel along its axis.
        padding: "SAME", "VALID" or pairs of pixels before and after H and W.
        dimension_numbers: those of images with channels last.
        **settings: further arguments of `lax.conv_general_dilated`; dilation and
            groups are not supported.

    Returns:
        [B, H', W', F].

    Raises:
        ValueError: there is a dilation or there are groups.
    """
    dilations = [settings.get(name) for name in ("lhs_dilation", "rhs_dilation")]
    plain = all(d is None or set(d) == {1} for d in dilations)
    if not plain or settings.get("feature_group_count", 1) != 1:
        raise ValueError("convolve does not support dilation or groups")
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)

    def compiled(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(
            x, kernel, strides, padding, dimension_numbers=dimension_numbers, **settings
        )

    def products(x: Array, kernel: Array) -> Array:
        return sum_of_products(x, kernel, strides, padding)

    def product(x: Array, kernel: Array) -> Array:
        return one_product(x, kernel, strides, padding)

    cuda = product if is_one_product(kernel) else compiled
    return lax.platform_dependent(x, kernel, cpu=products, cuda=cuda, default=compiled)


def is_one_product(kernel: Array) -> bool:
    """Whether an NVIDIA GPU computes a convolution as `one_product`.

    True for few channels, before or after, and for kernels of at most 2x2 pixels: of
    these, cuDNN computes gradients by Fourier transforms, which takes twice as long
    (`benchmarks.gpu`, part `convolutions`).
    """
    h, w, channels, features = kernel.shape
    return min(channels, features) < FEW_CHANNELS or max(h, w) <= SMALL_KERNEL


def sum_of_products(
    x: Array, kernel: Array, strides: Sequence[int], padding: Pads
) -> Array:
    """A convolution as a sum over the offsets of the kernel: for a CPU.

    y[i, j] = sum over (a, b) of x[i + a, j + b] @ kernel[a, b], after each block of
    pixels that a stride skips has become the channels of one.

    Args:
        x: [B, H, W, C].
        kernel: [h, w, C, F].
        strides: along H and W; each divides the size of the kernel along its axis.
        padding: pixels before and after H and W.

    Returns:
        [B, H', W', F].
    """
    x, kernel = _without_stride(x, kernel, strides, padding)
    if _shifts_output(kernel):
        return _product_then_shifts(x, kernel)
    shifted = _shifts(x, kernel)
    matrices = kernel.reshape(-1, *kernel.shape[2:])
    return functools.reduce(
        jnp.add, (s @ m for s, m in zip(shifted, matrices, strict=True))
    )


def one_product(
    x: Array, kernel: Array, strides: Sequence[int], padding: Pads
) -> Array:
    """A convolution as one product of matrices: for a GPU, see `is_one_product`.

    The arguments and the result are those of `sum_of_products`, but what the offsets of
    the kernel see lies side by side in memory.
    """
    x, kernel = _without_stride(x, kernel, strides, padding)
    if _shifts_output(kernel):
        return _product_then_shifts(x, kernel)
    side_by_side = jnp.concatenate(_shifts(x, kernel), axis=-1)
    return side_by_side @ kernel.reshape(-1, kernel.shape[-1])


def space_to_depth(x: Array, block: Sequence[int]) -> Array:
    """Turns each block of pixels into the channels of one.

    Args:
        x: [B, H, W, C].
        block: pixels along H and W, (s, t), which divide them.

    Returns:
        [B, H / s, W / t, s t C].
    """
    batch, height, width, channels = x.shape
    s, t = block
    x = x.reshape(batch, height // s, s, width // t, t, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // s, width // t, s * t * channels)


def depth_to_space(x: Array, block: Sequence[int]) -> Array:
    """The inverse of `space_to_depth`: gives each pixel of a block channels of its own.

    Args:
        x: [B, H, W, s t C].
        block: pixels along H and W, (s, t).

    Returns:
        [B, s H, t W, C].
    """
    batch, height, width, channels = x.shape
    s, t = block
    x = x.reshape(batch, height, width, s, t, channels // (s * t))
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, s * height, t * width, channels // (s * t))


def _without_stride(
    x: Array, kernel: Array, strides: Sequence[int], padding: Sequence[tuple[int, int]]
) -> tuple[Array, Array]:
    """The same convolution with stride 1 and no padding: each block is a pixel.

    A block of s x t pixels becomes s t C channels of one pixel, in image and kernel.
    """
    channels = x.shape[-1]
    (s, t), (h, w) = strides, kernel.shape[:2]
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = x.shape[1] // s, x.shape[2] // t
    x = x[:, : height * s, : width * t]  # pixels of incomplete blocks are not used
    x = space_to_depth(x, (s, t))
    kernel = kernel.reshape(h // s, s, w // t, t, channels, -1)
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
    return x, kernel.reshape(h // s, w // t, s * t * channels, -1)


def _shifts_output(kernel: Array) -> bool:
    """What is shifted is copied: whether what comes out is the smaller."""
    channels, features = kernel.shape[2:]
    return 2 * features < channels


def _shifts(x: Array, kernel: Array) -> list[Array]:
    """What each offset (a, b) of the kernel sees: x[i + a, j + b]."""
    (height, width), (h, w) = x.shape[1:3], kernel.shape[:2]
    rows, columns = height - h + 1, width - w + 1
    offsets = itertools.product(range(h), range(w))
    return [x[:, a : a + rows, b : b + columns] for a, b in offsets]


def _product_then_shifts(x: Array, kernel: Array) -> Array:
    """The features of all offsets at once, then each at its offset."""
    h, w, channels, features = kernel.shape
    all_at_once = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
    products = (x.reshape(-1, channels) @ all_at_once).reshape(*x.shape[:3], h, w, -1)
    offsets = itertools.product(range(h), range(w))
    terms = (
        s[..., a, b, :]
        for s, (a, b) in zip(_shifts(products, kernel), offsets, strict=True)
    )
    return functools.reduce(jnp.add, terms)
