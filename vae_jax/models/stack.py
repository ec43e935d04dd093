"""The stack of blocks of a top-down model, written as one line: "1x2,7x5,14x3"."""

import re
from collections.abc import Sequence

from vae_jax.errors import ConfigError
from vae_jax.ranges import MAX_LAYERS

LEAST = 2  # with a single block there is nothing from the top down
# From the top: height and width of the maps, in pixels, and the number of blocks there.
Stack = tuple[tuple[int, int], ...]


def parse_blocks(blocks: str, image_shape: Sequence[int]) -> Stack:
    """The blocks that a line describes, by resolution.

    Args:
        blocks: RESOLUTIONxCOUNT of each group, from the top, with commas between.
        image_shape: (H, W, C) of the images.

    Returns:
        Resolution and number of blocks, from the top.

    Raises:
        ConfigError: the line can't be read, there are too few or too many blocks, or a
            resolution does not divide the next one or the side of the images.
    """
    begin = f"blocks={blocks!r}: "
    found = re.fullmatch(r"\d{1,6}x\d{1,6}(,\d{1,6}x\d{1,6})*", str(blocks))
    if not found:
        raise ConfigError(
            f"{begin}must be RESOLUTIONxCOUNT of each group of blocks, from the top,"
            " with commas between, as 1x2,7x5,14x3"
        )
    pairs = (part.split("x") for part in blocks.split(","))
    stack = tuple((int(resolution), int(count)) for resolution, count in pairs)
    if not all(min(pair) > 0 for pair in stack):
        raise ConfigError(f"{begin}resolutions and counts must be above 0")
    total = sum(count for _, count in stack)
    if not LEAST <= total <= MAX_LAYERS:
        raise ConfigError(
            f"{begin}has {total} blocks, and there must be {LEAST} to {MAX_LAYERS}"
        )
    height, width = image_shape[:2]
    if height != width:
        raise ConfigError(
            f"{begin}the blocks are square, but the images are {height}x{width}: set"
            " data.image_size to one number"
        )
    sides = [resolution for resolution, _ in stack]
    for side, next_side in zip(sides, sides[1:], strict=False):
        if side == next_side or next_side % side:
            raise ConfigError(
                f"{begin}each resolution must be a multiple of the one before, and"
                f" {next_side} is none of {side}"
            )
    if height % sides[-1]:
        raise ConfigError(
            f"{begin}the last resolution, {sides[-1]}, must divide the side of the"
            f" images, {height}"
        )
    return stack
