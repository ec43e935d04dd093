"""From the original files of an image set to the examples of TFDS, without TensorFlow.

Keys, labels and names of classes are those of TFDS's own builders; TFDS orders a split
by its keys. tests/data/test_recipes.py compares each with the builder's own generator.
"""

import contextlib
import gzip
import io
import pathlib
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from vae_jax.data.originals import Files, Original
from vae_jax.errors import DataError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

Key = int | str
Example = dict[str, object]  # features by name; an image as PNG or JPEG bytes


class Contents(NamedTuple):
    """Content of a set."""

    splits: Mapping[str, Iterable[tuple[Key, Example]]]
    # Of features whose classes are named in the original files.
    class_names: Mapping[str, Sequence[str]] = {}


class Recipe(NamedTuple):
    """How a set is made of its original files."""

    files: Sequence[str]
    # Of the files and TFDS's config of the set, None of a set that has only one form.
    read: Callable[[Files, "tfds.core.BuilderConfig | None"], Contents]


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _examples(
    images: np.ndarray, labels: np.ndarray | None = None, id_format: str = ""
) -> Iterator[tuple[Key, Example]]:
    """Numbered from 0; `id_format` makes the feature id of a number."""
    for index, image in enumerate(images):
        example: Example = {"image": _png(image)}
        if labels is not None:
            example["label"] = int(labels[index])
        if id_format:
            example["id"] = id_format.format(index)
        yield index, example


# --- MNIST, Fashion-MNIST, KMNIST: idx files, gzipped --------------------------------

IDX_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def _idx(images: bytes, labels: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The contents of two gzipped idx files: [N, 28, 28] and [N]."""
    return (
        np.frombuffer(gzip.decompress(images), np.uint8, offset=16).reshape(-1, 28, 28),
        np.frombuffer(gzip.decompress(labels), np.uint8, offset=8),
    )


def _mnist(files: Files, config: object) -> Contents:
    del config
    return Contents(
        {
            split: _examples(*_idx(files[images].read(), files[labels].read()))
            for split, (images, labels) in IDX_FILES.items()
        }
    )


# --- EMNIST: the same for six sets, in one zip ---------------------------------------


def _emnist(files: Files, config: "tfds.core.BuilderConfig") -> Contents:
    """Where a file holds more images than TFDS takes, the first of them."""
    sizes = {"train": config.train_examples, "test": config.test_examples}
    splits = {}
    with _open_zip(files["gzip.zip"]) as archive:
        for split, size in sizes.items():
            start = f"gzip/emnist-{config.name}-{split}"
            images, labels = _idx(
                _member(archive, f"{start}-images-idx3-ubyte.gz"),
                _member(archive, f"{start}-labels-idx1-ubyte.gz"),
            )
            splits[split] = _examples(images[:size], labels[:size])
    return Contents(splits)


# --- Static binarised MNIST: text ----------------------------------------------------


def _binarized_mnist(files: Files, config: object) -> Contents:
    """Each line an image: 784 digits with one space between."""
    del config
    splits = {}
    for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        text = files[f"binarized_mnist_{name}.amat"].read()
        bits = np.frombuffer(text, np.uint8)[::2] - ord("0")
        splits[split] = _examples(bits.reshape(-1, 28, 28))
    return Contents(splits)


# --- CIFAR-10: rows of bytes in a tar ------------------------------------------------


def _cifar10(files: Files, config: object) -> Contents:
    """Each row a label and 32x32 bytes of red, of green and of blue."""
    del config
    folder = "cifar-10-batches-bin"
    names = f"{folder}/batches.meta.txt"
    batches = {
        "train": [f"{folder}/data_batch_{number}.bin" for number in range(1, 6)],
        "test": [f"{folder}/test_batch.bin"],
    }
    wanted = {names, *batches["train"], *batches["test"]}
    data = {}
    with (
        files["cifar-10-binary.tar.gz"].open() as stream,
        tarfile.open(fileobj=stream, mode="r|gz") as archive,
    ):
        for member in archive:
            content = archive.extractfile(member)
            if member.name in wanted and content is not None:
                data[member.name] = content.read()
    if missing := sorted(wanted - data.keys()):
        raise DataError(f"cifar-10-binary.tar.gz: there is no {missing[0]} in it")
    splits = {}
    for split, members in batches.items():
        rows = np.frombuffer(b"".join(data[m] for m in members), np.uint8)
        rows = rows.reshape(-1, 1 + 3 * 32 * 32)
        images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        splits[split] = _examples(images, rows[:, 0], f"{split}_{{:05d}}")
    return Contents(splits, {"label": data[names].decode().split()})


# --- Street View House Numbers: Matlab files -----------------------------------------


def _svhn_cropped(files: Files, config: object) -> Contents:
    """Images [32, 32, 3, N] and labels from 1 to 10, where 10 is the digit 0."""
    del config

    def read(split: str) -> Iterator[tuple[Key, Example]]:
        from scipy.io import loadmat

        with files[f"{split}_32x32.mat"].open() as stream:
            data = loadmat(stream)
        images, labels = np.moveaxis(data["X"], -1, 0), data["y"].reshape(-1) % 10
        yield from _examples(images, labels, f"{split}_{{:06d}}")

    # One split at a time: `extra` alone takes 1.6 GB.
    return Contents({split: read(split) for split in ("train", "test", "extra")})


# --- Omniglot: a zip of PNG files for each split -------------------------------------

_OMNIGLOT_FILES = {
    "train": "images_background.zip",
    "test": "images_evaluation.zip",
    "small1": "images_background_small1.zip",
    "small2": "images_background_small2.zip",
}
# ALPHABET/characterNN/LABEL_NN.png, below a folder of the zip's name.
_OMNIGLOT_MEMBER = re.compile(r"[^/]+/([^/]+)/character(\d+)/((\d+)_[^/]*\.png)")


def _omniglot(files: Files, config: object) -> Contents:
    """The PNG files as they are, with what their paths say."""
    del config
    splits = {split: _drawings(files[name]) for split, name in _OMNIGLOT_FILES.items()}
    drawings = [drawing for split in splits.values() for drawing in split]
    labels = {d.label: f"{d.alphabet}_{d.character}" for d in drawings}
    names = {
        "alphabet": sorted({drawing.alphabet for drawing in drawings}),
        "label": [labels[label] for label in sorted(labels)],
    }
    return Contents(
        {
            split: _read_drawings(files[_OMNIGLOT_FILES[split]], found)
            for split, found in splits.items()
        },
        names,
    )


class _Drawing(NamedTuple):
    member: str
    alphabet: str
    character: int
    label: int

    @property
    def key(self) -> str:
        return f"{self.alphabet}_{self.character}_{self.member.rsplit('/', 1)[-1]}"


def _drawings(original: Original) -> list[_Drawing]:
    with _open_zip(original) as archive:
        matches = map(_OMNIGLOT_MEMBER.fullmatch, sorted(archive.namelist()))
        return [
            _Drawing(match[0], match[1], int(match[2]) - 1, int(match[4]) - 1)
            for match in matches
            if match and not match[0].startswith("__MACOSX/")
        ]


def _read_drawings(
    original: Original, drawings: Iterable[_Drawing]
) -> Iterator[tuple[Key, Example]]:
    with _open_zip(original) as archive:
        for drawing in drawings:
            yield (
                drawing.key,
                {
                    "image": archive.read(drawing.member),
                    "alphabet": drawing.alphabet,
                    "alphabet_char_id": drawing.character,
                    "label": drawing.label,
                },
            )


# --- Zip files, read by the names of their members; nothing is unpacked to disk ------


@contextlib.contextmanager
def _open_zip(original: Original) -> Iterator[zipfile.ZipFile]:
    """A zip file, unless a member has a path that leads out of it."""
    with original.open() as stream, zipfile.ZipFile(stream) as archive:
        for name in archive.namelist():
            path = pathlib.PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                raise DataError(f"{original.path}: {name!r} leads out of the zip")
        yield archive


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError:
        raise DataError(f"{archive.filename}: there is no {name} in it") from None


_IDX_NAMES = tuple(name for names in IDX_FILES.values() for name in names)
RECIPES = {
    "mnist": Recipe(_IDX_NAMES, _mnist),
    "fashion_mnist": Recipe(_IDX_NAMES, _mnist),
    "kmnist": Recipe(_IDX_NAMES, _mnist),
    "emnist": Recipe(("gzip.zip",), _emnist),
    "binarized_mnist": Recipe(
        tuple(f"binarized_mnist_{split}.amat" for split in ("train", "valid", "test")),
        _binarized_mnist,
    ),
    "cifar10": Recipe(("cifar-10-binary.tar.gz",), _cifar10),
    "svhn_cropped": Recipe(
        tuple(f"{split}_32x32.mat" for split in ("train", "test", "extra")),
        _svhn_cropped,
    ),
    "omniglot": Recipe(tuple(_OMNIGLOT_FILES.values()), _omniglot),
}
