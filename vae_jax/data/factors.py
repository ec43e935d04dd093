"""Factors of variation: what a set may know of them, and how a line names them."""

from collections.abc import Mapping, Sequence

import numpy as np

from vae_jax.errors import DataError

_MOST = 2**31  # values are handed to models as 32-bit numbers


def check_factors(
    name: str,
    factors: Mapping[str, np.ndarray | None],
    num_images: Mapping[str, int],
    names: Sequence[str] | None = None,
) -> None:
    """Refuses factors that do not fit the images, or each other.

    Args:
        name: name of the data set.
        factors: factors of each split; None where they are unknown.
        num_images: images of each split.
        names: names of the factors.

    Raises:
        DataError: some split has none, or they are not whole numbers from 0, a row for
            each image; or there are not as many names as factors.
    """
    if all(own is None for own in factors.values()):
        if names is not None:
            raise DataError(
                f"{name}: factors have names ({', '.join(names)}), but no image has any"
            )
        return
    first = factors.get("train", next(iter(factors.values())))
    for split, own in factors.items():
        rows = num_images[split]
        if (
            own is None
            or first is None
            or own.ndim != 2
            or own.shape != (rows, first.shape[-1])
            or not own.size
            or own.dtype.kind not in "iu"
            or own.min() < 0
            or own.max() >= _MOST
        ):
            raise DataError(
                f"{name}: the factors of {split} are {_found(own)}; they must be whole"
                f" numbers from 0, [{rows}, F], with one F of at least 1 for all splits"
            )
    assert first is not None
    count = first.shape[1]
    if names is not None and not len(names) == len(set(names)) == count:
        raise DataError(
            f"{name}: {count} factors have the names {', '.join(names)}: each"
            " needs one of its own"
        )


def sizes_of(factors: Sequence[np.ndarray | None]) -> tuple[int, ...] | None:
    """How many values each factor takes: one more than its largest in any split."""
    largest = [own.max(axis=0) for own in factors if own is not None]
    return tuple(int(v) + 1 for v in np.max(largest, axis=0)) if largest else None


def _found(factors: np.ndarray | None) -> str:
    """`int64 (9, 2), from -1 to 4`."""
    if factors is None:
        return "none"
    text = f"{factors.dtype} {factors.shape}"
    if not factors.size or factors.dtype.kind not in "iuf":
        return text
    return f"{text}, from {factors.min():g} to {factors.max():g}"
