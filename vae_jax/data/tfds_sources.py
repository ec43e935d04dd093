"""Image sets of TensorFlow Datasets (TFDS), read without TensorFlow.

Decoding 60,000 PNG images takes seconds, so it happens once: the arrays are kept in a
file beside the set, or in the user's cache where that folder can't be written.
"""

import contextlib
import functools
import io
import os
import pathlib
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from absl import logging
from PIL import Image

from vae_jax.data import array_cache
from vae_jax.data.dataset import Split
from vae_jax.data.image_files import Size, fit
from vae_jax.data.originals import records
from vae_jax.data.recipes import RECIPES
from vae_jax.data.source import Loaded, Options, Source
from vae_jax.errors import DataError
from vae_jax.paths import local_path

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder
    from tensorflow_datasets.features import FeaturesDict

_BATCH = 1024  # reading record by record is several times slower
_FACTOR = "label_"  # how the names of features begin that are factors of variation


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps TFDS's INFO lines, several for each set opened, out of a program's log."""
    level = logging.get_verbosity()
    logging.set_verbosity(min(level, logging.WARNING))
    try:
        yield
    finally:
        logging.set_verbosity(level)


@quiet_tfds()
def read_set(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: Size | None = None,
    grayscale: bool = False,
) -> Loaded | None:
    """The splits train, validation and test of a set, as far as it has them.

    Args:
        name: as TFDS spells it, with config and version if wanted.
        data_dir: folder of TFDS sets. None: TFDS_DATA_DIR or ~/tensorflow_datasets.
        image_size: (H, W) to resize to, see `image_files.fit`.
        grayscale: turns colour images grey.

    Returns:
        Splits of uint8 images. Labels are the feature `label`, where it is a class;
        factors of variation are features `label_*` of more than one class, as dsprites
        has. None where there is no set of this name, and TFDS has no recipe for one.

    Raises:
        DataError: the set is to be built first, or it is incomplete, damaged, in a
            format that only TensorFlow reads, or not a set of 8-bit images with a train
            split.
    """
    directory = resolve_data_dir(data_dir)
    builder = find_set(name, directory)
    if builder is None:
        if not known_to_tfds(name):
            return None
        raise _missing_set(name, directory)
    folder = pathlib.Path(builder.data_dir)
    state = array_cache.folder_state(folder)
    size = f"{image_size[0]}x{image_size[1]}" if image_size else "full"
    file = f"vae_jax-{size}{'-gray' if grayscale else ''}.npz"
    unique = f"{name.replace('/', '-')}-{zlib.crc32(os.fsencode(folder)):08x}"
    caches = [folder / file]
    with contextlib.suppress(OSError):  # no home folder: no cache of the user's
        caches.append(array_cache.user_cache_dir() / unique / file)
    keys = _factor_features(builder)
    names = tuple(key.removeprefix(_FACTOR) for key in keys) or None
    for path in caches:
        if cached := array_cache.load(path, state):
            return Loaded(cached, factor_names=names)
    splits = _decode(name, builder, image_size, grayscale)
    array_cache.save(caches, state, splits)
    return Loaded(splits, factor_names=names)


def resolve_data_dir(data_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    """The folder of TFDS sets: as given, or TFDS's own default when None."""
    if data_dir is None:
        data_dir = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return local_path(data_dir).absolute()


def find_set(name: str, data_dir: pathlib.Path) -> "DatasetBuilder | None":
    """The TFDS builder of a set on disk, or None; never touches the network.

    Raises:
        DataError: the set is there, but one of its files is missing or unreadable, or
            its format is one that only TensorFlow reads.
    """
    import tensorflow_datasets as tfds
    from google.protobuf import json_format
    from tensorflow_datasets.core import file_adapters, naming, read_only_builder

    try:
        naming.parse_builder_name_kwargs(name)
    except ValueError:
        return None
    try:
        # Looks at files only; tfds.builder may ask a server about a set it can't find.
        builder = read_only_builder.builder_from_files(name, data_dir=str(data_dir))
        files = [f for split in builder.info.splits.values() for f in split.filepaths]
    except tfds.core.registered.DatasetNotFoundError:
        return None
    except (ValueError, OSError, json_format.ParseError) as error:
        raise DataError(f"{name}: can't read the set in {data_dir}: {error}") from error
    for file in files:
        if not file.exists():
            raise DataError(
                f"{name}: {file} is missing; delete {builder.data_dir} and prepare the"
                " set again"
            )
    readable = file_adapters.FileFormat.with_random_access()
    if not readable & builder.info.available_file_formats():
        raise DataError(
            f"{name}: {builder.data_dir} is in the format"
            f" {builder.info.file_format.value}, which only TensorFlow reads; delete it"
            " and run `python -m vae_jax prepare_data`"
        )
    return builder


def set_name(name: str) -> str:
    """A name without config and version: `emnist` of `emnist/letters:3.1.0`."""
    return name.split(":")[0].split("/")[0]


def known_to_tfds(name: str) -> bool:
    """Whether TFDS has a recipe for a set of this name."""
    import tensorflow_datasets as tfds

    try:
        tfds.builder_cls(set_name(name))
    except (tfds.core.registered.DatasetNotFoundError, ValueError):
        return False
    return True


def all_names() -> list[str]:
    """The sets that TFDS has a recipe for."""
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def _missing_set(name: str, data_dir: pathlib.Path) -> DataError:
    what = "has no such set" if data_dir.is_dir() else "does not exist"
    if recipe := RECIPES.get(set_name(name)):
        known = records(set_name(name))
        size = sum(known[file].size for file in recipe.files)
        needs = f"downloads {size / 1e6:,.0f} MB, needs no TensorFlow"
    else:
        needs = "needs TensorFlow, once"
    return DataError(
        f"{name}: the data directory {data_dir} {what}; build it with"
        f" `python -m vae_jax prepare_data --dataset={name} --data_dir={data_dir}`"
        f" ({needs})"
    )


def _decode(
    name: str, builder: "DatasetBuilder", image_size: Size | None, grayscale: bool
) -> dict[str, Split]:
    from rich import progress

    from vae_jax import console  # needs rich

    splits = builder.info.splits
    sizes = {
        split: splits[split].num_examples
        for split in ("train", "validation", "test")
        if split in splits and splits[split].num_examples
    }
    if "train" not in sizes:
        raise DataError(f"{name}: no train split; it has {', '.join(splits)}")
    key = _image_feature(name, builder.info.features)
    with progress.Progress(
        console=console.stderr(), disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task(f"decoding {name}, once", total=sum(sizes.values()))
        done = functools.partial(bar.advance, task)
        try:
            return {
                split: _decode_split(builder, split, key, image_size, grayscale, done)
                for split in sizes
            }
        except DataError:
            raise
        except (OSError, ValueError, RuntimeError, IndexError) as error:
            raise DataError(
                f"{name}: {builder.data_dir} is damaged ({error}); delete it and"
                " prepare the set again"
            ) from error


def _image_feature(name: str, features: "FeaturesDict") -> str:
    """The feature that is the image: `image`, or the only one of that type."""
    import tensorflow_datasets as tfds

    images = [k for k, v in features.items() if isinstance(v, tfds.features.Image)]
    key = images[0] if len(images) == 1 else "image"
    if (
        key not in images
        or features[key].np_dtype != np.uint8
        or features[key].shape[-1] not in (1, 3)
    ):
        kinds = (f"{k}: {type(v).__name__}" for k, v in features.items())
        raise DataError(
            f"{name}: not a set of 8-bit grey or RGB images; its features are"
            f" {', '.join(kinds)}"
        )
    return key


def _factor_features(builder: "DatasetBuilder") -> list[str]:
    """The features that are factors of variation, in the order of the set."""
    import tensorflow_datasets as tfds

    return [
        key
        for key, feature in builder.info.features.items()
        if key.startswith(_FACTOR)
        and type(feature) is tfds.features.ClassLabel
        and feature.num_classes > 1
    ]


def _decode_split(
    builder: "DatasetBuilder",
    split: str,
    key: str,
    image_size: Size | None,
    grayscale: bool,
    advance: Callable[[int], None],
) -> Split:
    import tensorflow_datasets as tfds

    features = builder.info.features
    mode = "L" if features[key].shape[-1] == 1 else "RGB"
    classes = [k for k, v in features.items() if type(v) is tfds.features.ClassLabel]
    labeled = "label" in classes
    source = builder.as_data_source(split, decoders={key: tfds.decode.SkipDecoding()})
    labels = np.empty(len(source), np.int32)
    factor_keys = _factor_features(builder)
    factors = np.empty((len(source), len(factor_keys)), np.int32)
    images = np.empty(0)
    for start in range(0, len(source), _BATCH):
        rows = range(start, min(start + _BATCH, len(source)))
        for row, example in zip(rows, source.__getitems__(list(rows)), strict=True):
            png = Image.open(io.BytesIO(example[key]), formats=("PNG", "JPEG"))
            image = fit(png.convert(mode), image_size, grayscale)
            if row == 0:
                images = np.empty((len(source), *image.shape), np.uint8)
            if image.shape != images.shape[1:]:
                raise DataError(
                    f"{builder.info.name}: {split} images have shapes"
                    f" {images.shape[1:]} and {image.shape}: set data.image_size"
                )
            images[row] = image
            if labeled:
                labels[row] = example["label"]
            factors[row] = [example[own] for own in factor_keys]
        advance(len(rows))
    return Split(
        images, labels if labeled else None, factors=factors if factor_keys else None
    )


def _load(name: str, options: Options) -> Loaded | None:
    loaded = read_set(name, options.data_dir, options.image_size, options.grayscale)
    if loaded is None or options.image_size is None:
        return loaded
    height, width = options.image_size
    cut = f"cut to {height}x{width} in the centre, then resized"
    return loaded._replace(notes=(cut,))


SOURCE = Source(_load, resizes=True)
