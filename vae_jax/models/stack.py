"""The stack of blocks of a top-down model, written as one line: "1x2,7x5,14x3"."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from vae_jax.errors import ConfigError
from vae_jax.ranges import MAX_LAYERS

LEAST = 2  # with a single block there is nothing from the top down


class Group(NamedTuple):
    """The blocks of one resolution."""

    resolution: int  # height and width of their maps, pixels
    count: int


def parse_blocks(blocks: str, image_shape: Sequence[int]) -> tuple[Group, ...]:
    """The groups that a line describes, from the top.

    Args:
        blocks: RESOLUTIONxCOUNT of each group, from the top, with commas between.
        image_shape: (H, W, C) of the images.

    Returns:
        The groups.

    Raises:
        ConfigError: the line can't be read, there are too few or too many blocks, or a
            resolution does not divide the next one or the side of the images.
    """
    begin = f"blocks={blocks!r}: "
    found = re.fullmatch(r"\d+x\d+(,\d+x\d+)*", str(blocks))
    if not found:
        raise ConfigError(
            f"{begin}must be RESOLUTIONxCOUNT of each group of blocks, from the top,"
            " with commas between, as 1x2,7x5,14x3"
        )
    groups = tuple(Group(*map(int, part.split("x"))) for part in blocks.split(","))
    if not all(min(group) > 0 for group in groups):
        raise ConfigError(f"{begin}resolutions and counts must be above 0")
    total = sum(group.count for group in groups)
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
    sides = [group.resolution for group in groups]
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
    return groups
