"""Finished runs, read from their workdirs to be compared."""

import dataclasses
import glob
import pathlib
import shlex
from collections import Counter
from collections.abc import Sequence

from absl import logging

from vae_jax.as_text import exact
from vae_jax.data.sources import without_path
from vae_jax.errors import ConfigError, DataError
from vae_jax.fields import Fields, keeps_best
from vae_jax.flat import flatten
from vae_jax.paths import local_path
from vae_jax.report.compare import FAILED, Row
from vae_jax.runs import gathered, members, prior_files
from vae_jax.runs.identity import FREE_FIELDS, is_free, read_results
from vae_jax.storage.manifest import Json
from vae_jax.storage.records import read_json

PRIOR = "model.prior"


def is_setting(field: str, keeps_best: bool = False) -> bool:
    """Whether a report compares by a field: it averages over the seed.

    Args:
        field: name of the field.
        keeps_best: whether a run chose its parameters among those that it evaluated.
    """
    if field == "train.eval_every":
        return keeps_best
    return field not in ("seed", "eval.figures", "eval.measures", *FREE_FIELDS)


@dataclasses.dataclass(frozen=True)
class FinishedRuns:
    """What `write_report` wants to know of runs.

    A run that was evaluated with a fitted prior stands in one more row for it, in which
    `model.prior` is the name of that prior.
    """

    rows: Sequence[Row]  # name, values of `swept`, seed, results
    folders: Sequence[pathlib.Path]  # of each row: of the run, or of the fitted prior
    workdirs: Sequence[pathlib.Path]  # of each run
    configs: Sequence[Fields]  # of each run, flat: field -> value
    swept: Sequence[str]  # fields that differ and that a report compares by
    shared: Fields  # flat config of the fields that don't
    grids: Sequence[gathered.Gathered] = ()  # those of which shards were given


def read_finished(
    folders: Sequence[pathlib.Path], *, with_failed: bool = False
) -> FinishedRuns:
    """Reads results and configs of finished runs.

    Args:
        folders: workdirs of runs, or of grids, which stand for all their members; those
            of shards stand for what they have finished.
        with_failed: whether members of grids whose loss was not finite are among the
            runs, with `failed_at_step` and no results, or left out.

    Returns:
        The runs, in the order given, and then those of shards in their grid's order.

    Raises:
        ConfigError: a folder is no workdir, not finished, or there twice, or shards
            don't belong together.
        DataError: a file in it is damaged.
    """
    found, grids = _runs_of(folders)
    found = [(run, step) for run, step in found if with_failed or step is None]
    if not found:
        raise ConfigError(
            f"{', '.join(map(str, folders))}: no loss of any member was finite"
        )
    folders = [folder for folder, _ in found]
    for folder, failed_at in found:
        if not (folder / "config.json").is_file():
            raise ConfigError(f"{folder} holds no run (there is no config.json)")
        if failed_at is None and not (folder / "results.json").is_file():
            raise ConfigError(f"{folder} isn't finished (there is no results.json)")
    for folder, count in Counter(folder.resolve() for folder in folders).items():
        if count > 1:
            raise ConfigError(f"{folder} is given {count} times: a run counts once")
    configs = [flatten(read_json(folder / "config.json")) for folder in folders]
    compared = _with_data_of(folders, configs)
    _note_copies(folders, compared)
    fields = list(dict.fromkeys(field for config in configs for field in config))
    differing = {
        field for field in fields if len({exact(c.get(field)) for c in compared}) > 1
    }
    results = [
        {FAILED: failed_at} if failed_at is not None else read_results(folder)
        for folder, failed_at in found
    ]
    evaluated = [
        _with_fitted_priors(folder, own.get("step"))
        for folder, own in zip(folders, results, strict=True)
    ]
    if any(evaluated):
        differing.add(PRIOR)
    best = any(map(keeps_best, configs))
    swept = [f for f in fields if f in differing and is_setting(f, best)]
    rows, row_folders = [], []
    runs = zip(_names(folders), folders, compared, results, evaluated, strict=True)
    for name, folder, config, own, by_prior in runs:
        settings = {field: config.get(field) for field in swept}
        row = {"name": name, **settings, "seed": config.get("seed")}
        rows.append(row | own)
        row_folders.append(folder)
        for prior, with_it in by_prior.items():
            rows.append({**row, "name": f"{name}, {prior}", PRIOR: prior, **with_it})
            row_folders.append(folder / prior_files.FOLDER / prior)
    shared = {f: configs[0][f] for f in fields if f not in differing}
    return FinishedRuns(rows, row_folders, folders, configs, swept, shared, grids)


def _with_data_of(
    folders: Sequence[pathlib.Path], configs: Sequence[Fields]
) -> list[Fields]:
    """Configs in which data have one name, wherever they lay, and others another one.

    What lies at a path may move, and may be replaced: its checksum says what it was.
    """
    names: dict[tuple[str, object], str] = {}
    found = []
    for folder, config in zip(folders, configs, strict=True):
        name = config.get("data.name", "")
        if (kind := without_path(name)) == name:
            found.append(config)
            continue
        checksum = read_json(folder / "data.json").get("fingerprint")
        if (kind, checksum) not in names and name in names.values():
            name = f"{name} (checksum {checksum})"
        name = names.setdefault((kind, checksum), name)
        found.append({**config, "data.name": name})
    return found


def _note_copies(folders: Sequence[pathlib.Path], configs: Sequence[Fields]) -> None:
    """Warns of runs that are the same one twice, which is no second seed."""
    seen: dict[str, pathlib.Path] = {}
    for folder, config in zip(folders, configs, strict=True):
        own = {f: exact(v) for f, v in sorted(config.items()) if not is_free(f)}
        first = seen.setdefault(repr(own), folder)
        if first != folder:
            logging.warning(
                "%s is the same run as %s, with the same seed: the errors of their"
                " setting are too small",
                folder,
                first,
            )


def _with_fitted_priors(folder: pathlib.Path, step: float | None) -> dict[str, Json]:
    """What a run was measured to be with each fitted prior, on its whole test split.

    Of several evaluations with one prior, the newer one counts for the numbers that
    both have. Those of other parameters than of this step, or of a fit that another
    one has replaced, do not count.
    """
    files = sorted(
        (folder / "evaluation").glob("*_prior-*.json"),
        key=lambda path: (path.stat().st_mtime_ns, path.name),
    )
    found: dict[str, Json] = {}
    whole = read_json(folder / "data.json").get("num_test") if files else None
    for path in files:
        results = read_json(path)
        crc32 = results.pop("prior_crc32", None)
        try:
            prior, split = str(results.pop("prior")), results.pop("split")
            is_whole = results.pop("num_images") == whole and split == "test"
            is_current = results["step"] == step and crc32 is not None
        except KeyError as error:
            raise DataError(f"{path} has no entry {error}") from error
        if not is_whole or not is_current:
            continue
        if crc32 == prior_files.checksum(folder, prior, results["step"]):
            known = {key: v for key, v in results.items() if v is not None}
            found.setdefault(prior, {}).update(known)
    return found


def split_workdirs(text: str) -> list[pathlib.Path]:
    """Splits "runs/a,runs/b" at commas, but not within the name of a folder.

    The folders of a grid's members are called like "kl_weight=4,seed=0".

    Args:
        text: paths with commas between them; a pattern such as "runs/*" stands for the
            folders that match it, and `~` for the home folder.

    Returns:
        The paths, including those that don't exist.
    """
    parts = text.split(",")
    found: list[pathlib.Path] = []
    while parts:
        joined = [local_path(",".join(parts[: n + 1])) for n in range(len(parts))]
        meant = map(_folders_at, joined)
        used, places = next(
            ((n, places) for n, places in enumerate(meant) if places), (0, joined[:1])
        )
        found += places
        parts = parts[used + 1 :]
    return found


def _folders_at(path: pathlib.Path) -> list[pathlib.Path]:
    """The folder of that name, or those that match it as a pattern."""
    if path.is_dir():
        return [path]
    matching = map(pathlib.Path, sorted(glob.glob(str(path))))
    return [folder for folder in matching if folder.is_dir()]


def train_command(config: Fields, default: Fields, workdir: pathlib.Path) -> str:
    """The command that trains a run again, from configs/default.py.

    Args:
        config: config of the run, flat.
        default: the content of configs/default.py, flat.
        workdir: folder of the run.

    Returns:
        One line for a shell.
    """
    command = ["python", "-m", "vae_jax", "train", "--config=configs/default.py"]
    command.append(f"--workdir={workdir}")
    return shlex.join([*command, *train_flags(config, default)])


def train_flags(config: Fields, default: Fields) -> list[str]:
    """The flags that make a config of configs/default.py.

    Args:
        config: its fields, flat.
        default: the content of configs/default.py, flat.

    Returns:
        --import=NAME for each module with parts of a user's own, which begins to be
        imported there, and --config.FIELD=VALUE for each field that differs.
    """
    flags = [f"--import={name}" for name in config.get("imports", ())]
    for field, value in config.items():
        value = tuple(value) if isinstance(value, list) else value
        is_usual = field in default and value == default[field]
        if field != "imports" and not is_usual:
            flags.append(f"--config.{field}={value}")
    return flags


def _runs_of(
    folders: Sequence[pathlib.Path],
) -> tuple[list[tuple[pathlib.Path, int | None]], list[gathered.Gathered]]:
    """Folders of runs with the step at which each failed, and the grids in shards."""
    found: list[tuple[pathlib.Path, int | None]] = []
    parts: dict[pathlib.Path, list[pathlib.Path]] = {}
    for folder in folders:
        if own := gathered.shards_of(folder):
            parts.setdefault(own[0].parent, []).extend(own)
        else:
            found += _members_of(folder)
    grids = [gathered.gather(given) for given in parts.values()]
    return found + [run for grid in grids for run in grid.runs.items()], grids


def _members_of(folder: pathlib.Path) -> list[tuple[pathlib.Path, int | None]]:
    """The members of a grid, or the folder itself."""
    if not (folder / "grid.json").is_file():
        return [(folder, None)]
    names = read_json(folder / "grid.json").get("members")
    if not isinstance(names, dict):
        raise DataError(
            f"{folder / 'grid.json'}: members is {names!r}; must be an object"
        )
    failed = members.failed(folder)
    return [(members.folder(folder, name), failed.get(name)) for name in names]


def _names(folders: Sequence[pathlib.Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            break
    return names
