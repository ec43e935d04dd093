"""A source of images: a function, and the options that it takes."""

import os
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from vae_jax.data.dataset import Split
from vae_jax.data.image_files import Size
from vae_jax.data.rendered import Render


class Options(NamedTuple):
    """Options of a source, see `sources.load_dataset`."""

    data_dir: str | os.PathLike[str] | None = None
    image_size: Size | None = None
    grayscale: bool = False


class Loaded(NamedTuple):
    """Result of a source; `sources.load_dataset` draws the splits that are missing."""

    splits: Mapping[str, Split]  # "train", and perhaps "validation" and "test"
    class_names: tuple[str, ...] | None = None  # of the labels 0, 1, ...
    notes: tuple[str, ...] = ()  # see `Dataset.notes`
    factor_names: tuple[str, ...] | None = None
    is_rows: bool = False  # see `Dataset.is_rows`


class Source(NamedTuple):
    """Where images come from; a line in `sources.BY_NAME` makes it known."""

    # (name, options) -> what it holds, None where nothing has this name. The name is
    # the whole of `data.name`. A DataError says in one line what is missing, damaged or
    # of a wrong shape or range.
    read: Callable[[str, Options], Loaded | None]
    # What the path is of in a name like npz:PATH; None where the name is all there is.
    path: Literal["file", "folder"] | None = None
    resizes: bool = False  # whether it takes image_size and grayscale
    # What draws the images, where they are `RenderedImages`; see `Rendering.render`.
    render: Render | None = None
