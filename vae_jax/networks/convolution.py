"""A convolution that is as fast as the machine allows, on CPUs as on accelerators."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from vae_jax.types import Array


def convolve(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    dimension_numbers: lax.ConvDimensionNumbers | tuple[str, str, str] | None,
    **settings: Any,
) -> Array:
    """`lax.conv_general_dilated`, on a CPU written as products of matrices.

    XLA's convolutions on a CPU have slow gradients, and both are many times slower
    still inside a compiled loop; its products of matrices are neither. The parameters
    and, up to rounding, the values are the same on every platform.

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
        return _sum_of_products(*_without_stride(x, kernel, strides, padding))

    return lax.platform_dependent(x, kernel, cpu=products, default=compiled)


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


def _sum_of_products(x: Array, kernel: Array) -> Array:
    """y[i, j] = sum over (a, b) of x[i + a, j + b] @ kernel[a, b]."""
    batch, height, width, channels = x.shape
    h, w, _, features = kernel.shape
    offsets = [(a, b) for a in range(h) for b in range(w)]
    # What is shifted is copied, so shift the smaller: what goes in or what comes out.
    shift_output = 2 * features < channels
    if shift_output:
        all_at_once = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
        x = x.reshape(-1, channels) @ all_at_once
        x = x.reshape(batch, height, width, h, w, features)

    def term(a: int, b: int) -> Array:
        rows, columns = slice(a, a + height - h + 1), slice(b, b + width - w + 1)
        if shift_output:
            return x[:, rows, columns, a, b]
        return x[:, rows, columns] @ kernel[a, b]

    return functools.reduce(jnp.add, (term(a, b) for a, b in offsets))
