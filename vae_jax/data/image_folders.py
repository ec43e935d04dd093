"""A folder of image files to splits: what is read, what a sub-folder means."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vae_jax.data.dataset import Split
from vae_jax.data.description import counted
from vae_jax.data.image_files import SUFFIXES, Size, read_image
from vae_jax.data.source import Loaded, Options, Source
from vae_jax.errors import DataError
from vae_jax.paths import local_path

_SUFFIXES = tuple(suffix for own in SUFFIXES.values() for suffix in own)
# Names of sub-folders, in any case, that hold a split and not a class.
SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
_KINDS_SHOWN = 5  # kinds of skipped files that a line lists


class Images(NamedTuple):
    """The images of a folder, sorted by path."""

    pixels: np.ndarray  # [N, H, W, C], uint8
    paths: tuple[pathlib.PurePath, ...]  # N, below the folder
    notes: tuple[str, ...]  # what was skipped and what was cut off


def read_folder(
    folder: str, image_size: Size | None = None, grayscale: bool = False
) -> Loaded:
    """All image files below a folder, as classes or as splits.

    Sub-folders called train, validation (or val, valid) and test, with nothing else
    beside them, are the splits, each with class folders or without; any other
    sub-folder is a class. The label is the place of the class folder's name in sorted
    order over all splits. No labels where all images of a split lie in one folder.

    Args:
        folder: its path.
        image_size: see `image_files.fit`.
        grayscale: likewise.

    Raises:
        DataError: what `read_images` refuses; images both in a folder and in class
            folders beside them; folders of splits and others side by side; no train.
    """
    root = local_path(folder)
    if not root.is_dir():
        raise DataError(f"folder:{folder}: there is no folder {root}")
    images = read_images(root, image_size, grayscale)
    rows = _rows_of_splits(folder, images.paths)
    depth = 1 if rows.keys() == {""} else 2  # of the images of a split without classes
    classes: dict[str, list[str] | None] = {
        split: _classes(folder, [images.paths[row] for row in rows[split]], depth)
        for split in rows
    }
    known = [names for names in classes.values() if names is not None]
    class_names = tuple(sorted({name for names in known for name in names}))
    files = np.array([path.as_posix() for path in images.paths])
    splits = {}
    for split, names in classes.items():
        labels = None
        if names is not None:
            labels = np.searchsorted(class_names, names).astype(np.int32)
        own = rows[split]
        splits[split or "train"] = Split(images.pixels[own], labels, files[own])
    return Loaded(splits, class_names or None, images.notes)


def read_images(
    where: str | pathlib.Path, image_size: Size | None = None, grayscale: bool = False
) -> Images:
    """All image files below a folder, or one image file.

    Links to folders are followed, each real folder once, so that a loop of them ends.
    Hidden files and folders and other suffixes than those of
    `image_files.SUFFIXES` are skipped and counted. Of a file with several images the
    first is read. Grey and colour files together become RGB.

    Args:
        where: path of the folder or file.
        image_size: see `image_files.fit`.
        grayscale: likewise.

    Raises:
        DataError: no folder, no image, an image that can't be read or that has another
            size than the first while `image_size` is None.
    """
    root = local_path(where)
    if not root.exists():
        kind = "file" if root.suffix.lower() in _SUFFIXES else "folder"
        raise DataError(f"there is no {kind} {root}")
    paths, notes = ([root], []) if root.is_file() else _find(root)
    if root.is_file():
        root = root.parent
    if not paths:
        line = f"no image below {root} ({', '.join(_SUFFIXES)})"
        raise DataError("; ".join([line, *notes]))
    pixels: list[np.ndarray] = []
    most_cut, several_frames = 0.0, 0
    for path in paths:
        image, cut, num_frames = read_image(path, image_size, grayscale)
        if pixels and image.shape[:2] != pixels[0].shape[:2]:
            raise DataError(
                f"{path} is {_hw(image)}, but {paths[0]} is {_hw(pixels[0])} (height x"
                " width): set data.image_size"
            )
        pixels.append(image)
        most_cut = max(most_cut, cut)
        several_frames += num_frames > 1
    if several_frames:
        files = counted(several_frames, "file holds", "files hold")
        notes.append(f"{files} several images, of which the first is read")
    if image_size is not None and most_cut >= 0.005:
        notes.append(
            f"cut to {image_size[0]}x{image_size[1]} in the centre, up to"
            f" {most_cut:.0%} of an image is left out"
        )
    channels = max(image.shape[2] for image in pixels)
    stacked = np.empty((len(pixels), *pixels[0].shape[:2], channels), np.uint8)
    for row, image in enumerate(pixels):
        stacked[row] = image  # a grey image is repeated over the channels
    below = tuple(path.relative_to(root) for path in paths)
    return Images(stacked, below, tuple(notes))


def classes_of(
    paths: Sequence[pathlib.PurePath],
) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """The classes that `read_folder` would see, of images that are no training set.

    Args:
        paths: where N images lie, below the folder.

    Returns:
        The number of each image's class, int32 [N], and the names of the classes; None
        where an image lies in no folder of a class.
    """
    depth = 1 + all(
        len(path.parts) > 1 and path.parts[0].lower() in SPLIT_NAMES for path in paths
    )
    if any(len(path.parts) <= depth for path in paths):
        return None
    own = [path.parts[depth - 1] for path in paths]
    names = tuple(sorted(set(own)))
    return np.searchsorted(names, own).astype(np.int32), names


def _find(root: pathlib.Path) -> tuple[list[pathlib.Path], list[str]]:
    """The image files below a folder, sorted, and notes on what was skipped."""
    found, seen = [], set()
    files: collections.Counter[str] = collections.Counter()
    folders: collections.Counter[str] = collections.Counter()
    waiting = collections.deque([root])
    while waiting:
        folder = waiting.popleft()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            folders["linked twice"] += 1
            continue
        seen.add((status.st_dev, status.st_ino))
        for path in folder.iterdir():
            is_folder = path.is_dir()
            if path.name.startswith("."):
                (folders if is_folder else files)["hidden"] += 1
            elif is_folder and path.is_symlink():
                waiting.append(path)  # after all real folders, whose names count
            elif is_folder:
                waiting.appendleft(path)
            elif not path.is_file():
                files["broken links or devices"] += 1
            elif path.suffix.lower() in _SUFFIXES:
                found.append(path)
            else:
                files[path.suffix.lower() or "without suffix"] += 1
    notes = [
        f"{counted(counts.total(), one, several)} skipped: {_listed(counts)}"
        for counts, one, several in (
            (files, "file", "files"),
            (folders, "folder", "folders"),
        )
        if counts
    ]
    return sorted(found), notes


def _listed(counts: Mapping[str, int]) -> str:
    """`8 .txt, 4 hidden`, most frequent first."""
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count:,} {kind}" for kind, count in order[:_KINDS_SHOWN]]
    if rest := sum(count for _, count in order[_KINDS_SHOWN:]):
        parts.append(f"{rest:,} others")
    return ", ".join(parts)


def _rows_of_splits(
    folder: str, paths: Sequence[pathlib.PurePath]
) -> dict[str, list[int]]:
    """Split -> rows of its images; the one split "" where no sub-folder is a split."""
    rows: dict[str, list[int]] = {}
    spelled: dict[str, str] = {}  # split -> the folder's own name for it
    other = None
    for row, path in enumerate(paths):
        name = path.parts[0]
        split = SPLIT_NAMES.get(name.lower()) if len(path.parts) > 1 else None
        if split is None:
            other = name
            continue
        if spelled.setdefault(split, name) != name:
            raise DataError(
                f"folder:{folder}: {spelled[split]} and {name} both are the {split}"
                " split; join them"
            )
        rows.setdefault(split, []).append(row)
    if not rows:
        return {"": list(range(len(paths)))}
    if other is not None:
        raise DataError(
            f"folder:{folder}: {next(iter(spelled.values()))} is the name of a split,"
            f" but {other} beside it is not (train, validation, val, valid, test): move"
            " it into a split, or rename the folder if it is a class"
        )
    if "train" not in rows:
        raise DataError(
            f"folder:{folder}: no images in train, only in"
            f" {', '.join(spelled.values())}"
        )
    return rows


def _classes(
    folder: str, paths: Sequence[pathlib.PurePath], depth: int
) -> list[str] | None:
    """The class folder of each image; None if there are no such folders."""
    flat = [path for path in paths if len(path.parts) == depth]
    if len(flat) == len(paths):
        return None
    if flat:
        raise DataError(
            f"folder:{folder}: {flat[0]} lies beside the class folders of"
            f" {pathlib.PurePath(folder, *flat[0].parts[:-1])}; move it into one"
        )
    return [path.parts[depth - 1] for path in paths]


def _hw(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _load(name: str, options: Options) -> Loaded:
    path = name.partition(":")[2]
    return read_folder(path, options.image_size, options.grayscale)


SOURCE = Source(_load, path="folder", resizes=True)
