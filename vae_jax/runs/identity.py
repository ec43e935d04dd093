"""The identity of a run, and the files that record it: config.json and data.json.

A run is its config and its data. Some fields are free: they say where the data lie, how
often something is written, or what is measured at the end, and change no parameter.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset
from vae_jax.data.examples import IMAGE, Inputs
from vae_jax.data.sources import without_path
from vae_jax.data.spec import DataSpec
from vae_jax.errors import ConfigError, DataError
from vae_jax.fields import Fields, keeps_best
from vae_jax.files import writing
from vae_jax.flat import flatten
from vae_jax.runs.imported import check_imported
from vae_jax.storage.manifest import Json
from vae_jax.storage.records import read_json, write_json

FREE_FIELDS = (
    "data.dir",
    "data.device_budget_mb",
    "train.log_every",
    "train.checkpoint_every",
    "train.max_to_keep",
    "train.trackers",
)
LENGTH = "train.num_steps"  # a larger one trains the same run further
# In the workdir of a grid that is trained in shards.
SHARDS = pathlib.PurePath("shards", "manifest.json")


def is_free(field: str) -> bool:
    """Whether a field may change without making another run."""
    return field in FREE_FIELDS or field.startswith("eval.")


class Standing(NamedTuple):
    """How a config compares with the content of a workdir."""

    is_new: bool  # the workdir holds nothing that was trained
    changed: tuple[str, ...] = ()  # fields with other values that leave the run itself

    @property
    def reopens(self) -> bool:
        """Whether a finished run has something left to do under this config."""
        return any(name == LENGTH or name.startswith("eval.") for name in self.changed)


def compare(
    workdir: pathlib.Path, config: ConfigDict, has_checkpoint: bool | None = None
) -> Standing:
    """Compares a config with the run that a workdir holds.

    Args:
        workdir: the folder of a run, or of one to be.
        config: config of the requested run.
        has_checkpoint: whether something of the run was saved; None: look into the
            workdir. Where nothing was saved, any config may take it.

    Returns:
        Whether the run is new, or which free fields changed.

    Raises:
        ConfigError: the workdir holds another run, or a grid; names what differs.
    """
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(f"workdir={workdir} is a file: choose a folder")
    if (workdir / "grid.json").is_file() or (workdir / SHARDS).is_file():
        raise ConfigError(f"workdir={workdir} holds a grid: choose another workdir")
    if not (workdir / "config.json").is_file():
        return Standing(is_new=True)
    there = read_json(workdir / "config.json")
    check_imported(there.get("imports", ()), f"workdir={workdir}")
    # Through JSON, so that tuples and lists compare equal.
    here = json.loads(json.dumps(config.to_dict()))
    if here == there:  # as for most of the thousands of members of a grid
        return Standing(is_new=False)
    saved, wanted = flatten(there), flatten(here)
    differing = [
        name
        for name in sorted(saved.keys() | wanted.keys())
        if saved.get(name) != wanted.get(name)
    ]
    others = [
        name
        for name in differing
        if not is_free(name) and _what(name, saved) != _what(name, wanted)
    ]
    if not others:
        return Standing(is_new=False, changed=tuple(differing))
    if has_checkpoint is None:
        has_checkpoint = holds_checkpoint(workdir)
    if not has_checkpoint and not (workdir / "results.json").is_file():
        return Standing(is_new=True)
    was = saved.get(LENGTH)
    if others == [LENGTH] and type(was) is int and was < wanted[LENGTH]:
        advice = _why_not_longer(workdir, saved)
        if not advice:
            return Standing(is_new=False, changed=tuple(differing))
    else:
        advice = "Choose another workdir, or the same values"
    different = ", ".join(
        f"{name} ({saved.get(name)!r} there, {wanted.get(name)!r} here)"
        for name in others
    )
    raise ConfigError(
        f"workdir={workdir} holds a run with another config: {different}. {advice}"
    )


def holds_checkpoint(folder: pathlib.Path) -> bool:
    """Whether a step was ever committed below a folder that has `checkpoints`."""
    return any(path.name.isdigit() for path in (folder / "checkpoints").glob("*"))


def claim(
    workdir: pathlib.Path,
    config: ConfigDict,
    data: Mapping[str, object],
    standing: Standing,
) -> None:
    """Writes config and data of the run, if it is new or its free fields changed.

    The results of a finished run that has something left to do are kept as
    results.previous.json, and so are those that no config.json belongs to.

    Raises:
        StorageError: the workdir can't be written.
    """
    with writing(f"workdir={workdir}"):
        workdir.mkdir(parents=True, exist_ok=True)
        results = workdir / "results.json"
        if (standing.is_new or standing.reopens) and results.is_file():
            results.replace(workdir / "results.previous.json")
        if standing.is_new:
            write_json(workdir / "data.json", data)
        if standing.is_new or standing.changed:
            write_json(workdir / "config.json", config.to_dict())


def check_same_data(workdir: pathlib.Path, found: Mapping[str, object]) -> None:
    """Compares a data set with the one that the run in `workdir` was trained on.

    Args:
        workdir: the folder of the run.
        found: what `describe` says of the data found now.

    Raises:
        DataError: they are not the same.
    """
    saved = read_data(workdir)
    for name in found:
        if name != "name" and saved.get(name) != found[name]:
            raise DataError(
                f"the data set {found['name']} is not the one that {workdir} was"
                f" trained on: {name} is {found[name]}, was {saved.get(name)}"
            )


def read_data(workdir: pathlib.Path) -> Json:
    """The content of data.json.

    Raises:
        DataError: it is missing, damaged, or describes no data set.
    """
    path = workdir / "data.json"
    saved = read_json(path)
    try:
        DataSpec.from_json(saved)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return saved


def read_config(workdir: pathlib.Path) -> ConfigDict:
    """The config of a run, checked.

    Raises:
        ConfigError: there is no run, or config.json holds what is no config.
        DataError: config.json is damaged.
    """
    if (workdir / "grid.json").is_file():
        names = [path.name for path in sorted((workdir / "members").glob("*"))]
        example = workdir / "members" / (names[0] if names else "NAME")
        raise ConfigError(
            f"workdir={workdir} holds a grid: name one of its members, such as"
            f" workdir={example}"
        )
    if not (workdir / "config.json").is_file():
        raise ConfigError(f"workdir={workdir}: holds no run (there is no config.json)")
    saved = read_json(workdir / "config.json")
    check_imported(saved.get("imports", ()), f"workdir={workdir}")
    try:
        config = ConfigDict(saved)
        build.check(config)
    except (TypeError, ValueError) as error:  # among them those of the check
        raise ConfigError(f"{workdir / 'config.json'}: {error}") from error
    return config


def read_results(workdir: pathlib.Path) -> dict[str, float | None]:
    """The content of results.json.

    Raises:
        DataError: it is missing, damaged, or holds a value that is not a number.
    """
    path = workdir / "results.json"
    results = read_json(path)
    for name, value in results.items():
        if value is not None and type(value) not in (int, float):
            raise DataError(f"{path}: {name} is {value!r}; it must be a number or null")
    return results


def describe(dataset: Dataset, inputs: Inputs = IMAGE) -> dict[str, object]:
    """Content of data.json for a data set.

    Args:
        dataset: the data.
        inputs: names of the parts that a model is given. Only where the labels are
            among them are they part of what the run was trained on.
    """
    labels: dict[str, object] = {}
    if "label" in inputs:
        labels["label_fingerprint"] = dataset.label_fingerprint
        labels["labels"] = list(dataset.labels)
    return {
        "name": dataset.name,
        **dataset.spec.to_json(),
        "num_validation": len(dataset.validation),
        "num_test": len(dataset.test),
        "fingerprint": dataset.fingerprint,
        **labels,
    }


def digest(config: Mapping[str, object], data: Mapping[str, object]) -> str:
    """A digest of the identity of a run, for its checkpoints.

    Args:
        config: the content of config.json, nested or flat.
        data: the content of data.json.

    Returns:
        64 hexadecimal digits; equal for configs that `compare` counts as one run.
    """
    flat = flatten(config)
    fields = {
        name: _what(name, flat) for name in flat if not is_free(name) and name != LENGTH
    }
    facts = {name: value for name, value in data.items() if name != "name"}
    text = json.dumps([fields, facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def joint_digest(digests: Sequence[str]) -> str:
    """The digest of several runs that are trained as one program."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _what(name: str, flat: Mapping[str, object]) -> object:
    """The value of a field, without the path where it is one of data."""
    value = flat.get(name)
    # The fingerprint says whether the data are the same.
    if name == "data.name" and isinstance(value, str):
        return without_path(value)
    return value


def _why_not_longer(workdir: pathlib.Path, config: Fields) -> str:
    """Why more steps would not make of a run what one long run is; "" if they would."""
    schedule, length = config["optimizer.schedule"], config[LENGTH]
    if schedule != "constant":
        return (
            f"optimizer.schedule={schedule} depends on the length of training, so this"
            " run can't be trained further; start another one with --init_from"
        )
    every, wish = config["train.eval_every"], keeps_best(config)
    has_ended = (workdir / "checkpoints" / f"{length}").is_dir()
    has_ended |= (workdir / "results.json").is_file()
    if wish and length % every and has_ended:
        return (
            f"{wish} has compared the evaluation at its end, {length}, which is no"
            f" multiple of train.eval_every={every}: a longer run would not have made"
            " it, so this one can't be trained further; start another one"
        )
    return ""
