"""A convolution that is as fast as the machine allows, on CPUs as on accelerators."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from vae_jax.types import Array

FEW_CHANNELS = 16  # with fewer, cuDNN is slow
FEW_OFFSETS = 4  # of a kernel: of no more, shifted images lie side by side

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

    On a CPU, XLA's convolutions have slow gradients, and its products of matrices have
    not. On an NVIDIA GPU, cuDNN's convolutions are the faster but for those of
    `is_product_on_cuda`. The parameters and, up to rounding, the values are the same on
    every platform.

    What `Conv` computes with; the signature is that of the argument of
    `flax.linen.Conv`.

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

    products = functools.partial(as_products, strides=strides, padding=padding)
    cuda = products if is_product_on_cuda(kernel, strides) else compiled
    return lax.platform_dependent(x, kernel, cpu=products, cuda=cuda, default=compiled)


Conv = functools.partial(nn.Conv, conv_general_dilated=convolve)
"""`flax.linen.Conv`, by products of matrices where these are faster."""


def is_product_on_cuda(kernel: Array, strides: Sequence[int]) -> bool:
    """Whether a convolution is faster `as_products` on an NVIDIA GPU.

    True for kernels of 2x2 pixels, or of 2x2 times the strides and few channels before
    or after: with cuDNN, values and gradients of these take 1.5 to 2.3 times as long
    (`benchmarks.gpu`, part `convolutions`).
    """
    (s, t), (h, w, channels, features) = strides, kernel.shape
    has_few = min(channels, features) < FEW_CHANNELS
    return h * w <= FEW_OFFSETS * s * t and (s * t == 1 or has_few)


def as_products(
    x: Array, kernel: Array, strides: Sequence[int], padding: Pads
) -> Array:
    """A convolution as products of matrices.

    y[i, j] = sum over (a, b) of x[i + a, j + b] @ kernel[a, b], after each block of
    pixels that a stride skips has become the channels of one. What is shifted is
    copied: the features if they are much fewer than the channels, else the images, all
    at once if the kernel has few offsets. Images are flattened to matrices before each
    product, since XLA transposes what has more axes before the product of its gradient.

    Args:
        x: [B, H, W, C].
        kernel: [h, w, C, F].
        strides: along H and W.
        padding: pixels before and after H and W.

    Returns:
        [B, H', W', F].
    """
    x, kernel = _without_stride(x, kernel, strides, padding)
    h, w, channels, features = kernel.shape
    if 2 * features < channels:
        return _product_then_shifts(x, kernel)
    shifted = _shifts([x] * (h * w), kernel)
    shape = (*shifted[0].shape[:3], features)
    if h * w <= FEW_OFFSETS:
        side_by_side = jnp.stack(shifted, axis=3).reshape(-1, h * w * channels)
        return (side_by_side @ kernel.reshape(-1, features)).reshape(shape)
    matrices = kernel.reshape(-1, channels, features)
    terms = (
        s.reshape(-1, channels) @ m for s, m in zip(shifted, matrices, strict=True)
    )
    return functools.reduce(jnp.add, terms).reshape(shape)


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


def _shifts(images: Sequence[Array], kernel: Array) -> list[Array]:
    """What each offset (a, b) of the kernel sees of its images: x[i + a, j + b]."""
    (height, width), (h, w) = images[0].shape[1:3], kernel.shape[:2]
    rows, columns = height - h + 1, width - w + 1
    offsets = itertools.product(range(h), range(w))
    return [
        x[:, a : a + rows, b : b + columns]
        for x, (a, b) in zip(images, offsets, strict=True)
    ]


def _product_then_shifts(x: Array, kernel: Array) -> Array:
    """The features of all offsets at once, then each at its offset.

    They are taken apart by `lax.split`, whose gradient puts them side by side; that of
    a slice adds it to zeros.
    """
    h, w, channels, features = kernel.shape
    all_at_once = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
    products = (x.reshape(-1, channels) @ all_at_once).reshape(*x.shape[:3], -1)
    each = lax.split(products, [features] * (h * w), axis=3)
    return functools.reduce(jnp.add, _shifts(each, kernel))
