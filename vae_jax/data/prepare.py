"""Builds the TFDS copy of an image set: from its original files, or by TFDS itself.

TFDS needs TensorFlow to build MNIST, but not to read it. For the sets of
`recipes.RECIPES`, `prepare` keeps TFDS's own builder, and with it the features, the
order of the examples and the file layout, and replaces only the download and the
reading of the original files. The result is the set that `tfds.data_source` reads.
"""

import contextlib
import importlib.util
import io
import multiprocessing
import os
import pathlib
import sys
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from vae_jax.data import originals, recipes, sources, tfds_sources
from vae_jax.data.lock import only_one
from vae_jax.errors import ConfigError, DataError, nearest
from vae_jax.paths import local_path

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_REACH_TIMEOUT_S = 10.0

Entries = Iterable[tuple[recipes.Key, recipes.Example]]
Splits = Mapping[str, Entries]


@tfds_sources.quiet_tfds()
def prepare(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    raw_dir: str | os.PathLike[str] | None = None,
    timeout_s: float = 3600.0,
) -> str:
    """Builds a set in array_record format, unless it is already there.

    The set appears in `data_dir` in one rename after the last byte is written: an
    interrupted build leaves at most a folder `incomplete.*` that nothing reads.
    Original files that were downloaded stay in `data_dir`/downloads/vae_jax; a process
    that prepares the same set meanwhile waits.

    Args:
        name: name of a TFDS image set, with its config if it has several: `mnist`,
            `emnist/letters`. Those of `recipes.RECIPES` need no TensorFlow.
        data_dir: where TFDS keeps its sets; None is TFDS's default.
        raw_dir: folder where original files are looked for before they are downloaded,
            each plain or with .gz added. Their sha256 must be those that TFDS records.
        timeout_s: limit for download and build by TFDS itself, in seconds. Without
            TFDS a download ends by `download.TIMEOUT_S` of silence.

    Returns:
        One line that names the set and its folder.

    Raises:
        ConfigError: `raw_dir` with a set that has no recipe here.
        DataError: an unknown set, a changed original file, no TensorFlow or network, a
            time-out, or a place that can't be written.
    """
    if sources.find(name) is not tfds_sources.SOURCE:
        return f"nothing to build: {name} is read as it is"
    directory = tfds_sources.resolve_data_dir(data_dir)
    builder = tfds_sources.find_set(name, directory)
    if builder is not None:
        return f"already there: {_summary(builder)}"
    if not tfds_sources.known_to_tfds(name):
        raise sources.unknown_name(name)
    if tfds_sources.set_name(name) in recipes.RECIPES:
        _build_by_recipe(name, directory, raw_dir)
    elif raw_dir is None:
        _build_by_tfds(name, directory, timeout_s)
    else:
        raise ConfigError(
            f"raw_dir builds {', '.join(recipes.RECIPES)}, not {name!r};"
            " without raw_dir TFDS downloads and builds a set itself"
        )
    builder = tfds_sources.find_set(name, directory)
    if builder is None:
        raise DataError(
            f"{name}: {directory} holds an incomplete set, which TFDS will not"
            " overwrite; delete it and run again"
        )
    return f"built: {_summary(builder)}"


def build_offline(
    name: str,
    splits: Splits,
    data_dir: pathlib.Path,
    class_names: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Writes examples as the TFDS set `name`, without TensorFlow.

    Args:
        name: name of a set of TFDS, with its config; its features must fit the
            examples.
        splits: examples of each split with their keys, images as PNG or JPEG
            bytes. TFDS orders a split by a hash of the keys, and counts what it gets.
        data_dir: where TFDS keeps its sets.
        class_names: names of the classes, for each feature whose classes TFDS reads
            from the original files.

    Raises:
        DataError: `data_dir` can't be written.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import naming

    parsed, options = naming.parse_builder_name_kwargs(name)
    original = tfds.builder_cls(parsed.name)
    with tfds.core.registered.skip_registration():

        class Offline(original):  # type: ignore[misc, valid-type]
            # TFDS finds the description and the folder of a set by these two.
            name = original.name
            __module__ = original.__module__

            def _split_generators(self, dl_manager: object) -> dict[str, Entries]:
                for feature, names in (class_names or {}).items():
                    self.info.features[feature].names = names
                return dict(splits)

            def _generate_examples(self) -> None:
                raise NotImplementedError("the splits are generators already")

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        # TFDS prints "Downloading ...", which is not what happens here.
        with contextlib.redirect_stdout(io.StringIO()):
            Offline(
                data_dir=data_dir, file_format="array_record", **options
            ).download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except OSError as error:
        raise _cannot_write(name, data_dir, error) from error


def _build_by_recipe(
    name: str, data_dir: pathlib.Path, raw_dir: str | os.PathLike[str] | None
) -> None:
    """All files are there and checked before the first example is written."""
    config = _builder_config(name)
    set_name = tfds_sources.set_name(name)
    recipe, known = recipes.RECIPES[set_name], originals.records(set_name)
    files = {}
    if raw_dir is not None:
        folder = local_path(raw_dir)
        files = originals.by_hand(recipe.files, known, folder)
    downloads = data_dir / "downloads" / "vae_jax" / set_name
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(only_one(downloads / ".lock"))
        except OSError as error:
            raise _cannot_write(name, data_dir, error) from error
        if tfds_sources.find_set(name, data_dir) is not None:
            return  # the process that had the lock has built it
        missing = [file for file in recipe.files if file not in files]
        files |= originals.downloaded(missing, known, downloads)
        contents = recipe.read(files, config)
        build_offline(name, contents.splits, data_dir, contents.class_names)


def _cannot_write(name: str, data_dir: pathlib.Path, error: OSError) -> DataError:
    return DataError(f"can't write {name} to data_dir {data_dir}: {error}")


def _builder_config(name: str) -> "tfds.core.BuilderConfig | None":
    """The config of TFDS that a name stands for, if the set has several.

    Raises:
        DataError: the set has no such config or version.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import naming

    parsed, options = naming.parse_builder_name_kwargs(name)
    builder_cls = tfds.builder_cls(parsed.name)
    version, config = options.get("version"), options.get("config")
    if version not in (None, str(builder_cls.VERSION)):
        raise DataError(
            f"{name}: the version that is built is {builder_cls.VERSION}, not {version}"
        )
    configs = {config.name: config for config in builder_cls.BUILDER_CONFIGS}
    if config is None:
        return next(iter(configs.values()), None)
    if config not in configs:
        near = nearest(config, configs)
        hint = f" Did you mean {parsed.name}/{near}?" if near else ""
        raise DataError(
            f"{parsed.name} has no config {config!r}.{hint} Valid are"
            f" {', '.join(configs) or 'none'}"
        )
    return configs[config]


def _build_by_tfds(name: str, data_dir: pathlib.Path, timeout_s: float) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise DataError(
            f"TFDS needs TensorFlow to build {name}: `pip install tensorflow` (only"
            f" {', '.join(recipes.RECIPES)} do without)"
        )
    known = originals.records(tfds_sources.set_name(name)).values()
    urls = [record.url for record in known if record.url.startswith("http")]
    if urls and not any((data_dir / "downloads").rglob("*.INFO")):
        _check_reachable(urls[0])
    # TFDS downloads without a time limit. A child process can be stopped whatever it
    # waits for.
    child = multiprocessing.get_context("spawn").Process(
        target=_download_and_prepare, args=(name, str(data_dir))
    )
    child.start()
    try:
        child.join(timeout_s)
        if child.is_alive():
            raise DataError(
                f"TFDS did not finish {name} in {timeout_s:g} s (see --timeout_s); run"
                " again to continue with the next file"
            )
    finally:
        child.terminate()
        child.join()
    if child.exitcode:
        raise DataError(f"TFDS failed to build {name}; see its own message above")


def _check_reachable(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_REACH_TIMEOUT_S):
            pass
    except OSError as error:
        raise DataError(f"can't reach {url} ({error}): check the network") from error


def _download_and_prepare(name: str, data_dir: str) -> None:
    import tensorflow_datasets as tfds

    tfds.builder(
        name, data_dir=data_dir, file_format="array_record"
    ).download_and_prepare()


def _summary(builder: "tfds.core.DatasetBuilder") -> str:
    splits = ", ".join(
        f"{k} {v.num_examples:,}" for k, v in builder.info.splits.items()
    )
    return f"{builder.info.full_name} ({splits}) in {builder.data_dir}"
