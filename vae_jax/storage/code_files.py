"""Files of codes: npz with arrays, or csv and parquet with a row for each image."""

import csv
import importlib.util
import io
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import IO

import numpy as np

from vae_jax.data.npz import open_npz
from vae_jax.errors import ConfigError, DataError
from vae_jax.files import replacing

# `mean` [N, D] and whatever else is known of N codes: see `runs.codes.codes_of_split`.
Codes = dict[str, np.ndarray]
Columns = dict[str, np.ndarray]
ROWS_AT_ONCE = 1000  # made into text
MOST_SHOWN = 8  # columns that a line lists
# What leads back to the images: name of the array, and of its column.
BESIDE = {"files": "file", "rows": "row", "labels": "label"}


def columns(codes: Mapping[str, np.ndarray]) -> Columns:
    """Codes as the columns of a table, for example of a `pandas.DataFrame`.

    Args:
        codes: arrays as `runs.codes.codes_of_split` gives them.

    Returns:
        As far as they are there, [N] each: `file`, `row`, `label`, `class_name` (empty
        for an unlabelled image), `factor_NAME` (or `factor_0`, ...), `index_0`, ...,
        `mean_0`, ... and `std_0`, ....
    """
    table = {BESIDE[name]: codes[name] for name in BESIDE if name in codes}
    if "labels" in codes and "class_names" in codes:
        names = np.append(codes["class_names"], "")  # the last one for -1
        table["class_name"] = names[np.maximum(codes["labels"], -1)]
    if "factors" in codes:
        factors = codes["factors"]
        for name, values in zip(
            codes.get("factor_names", range(factors.shape[1])), factors.T, strict=True
        ):
            table[f"factor_{name}"] = values
    for part in ("index", "mean", "std"):
        for number, values in enumerate(codes[part].T if part in codes else ()):
            table[f"{part}_{number}"] = values
    return table


def check_path(name: str, path: pathlib.Path) -> None:
    """Refuses a file that can't be written or read, before the work for it.

    Args:
        name: name of the flag.
        path: its value.

    Raises:
        ConfigError: another suffix, or a package is missing.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"{name}={path}: must end in .npz, .csv or .parquet")
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            f"{name}={path}: parquet needs the package pyarrow, pip install"
            " 'vae_jax[tables]'; .csv and .npz do without"
        )


def write_codes(path: pathlib.Path, codes: Codes) -> None:
    """Writes codes as the suffix of the file says.

    Args:
        path: FILE.npz, which holds the arrays, or FILE.csv or FILE.parquet, which hold
            their `columns`; its folder must exist.
        codes: arrays as `runs.codes.codes_of_split` gives them; for FILE.npz also those
            of `codes_as_data`.

    Raises:
        ConfigError: see `check_path`.
        DataError: a table can't hold the name of an image's file.
        StorageError: it can't be written.
    """
    check_path("path", path)
    try:
        with replacing(path) as file:
            FORMATS[path.suffix][0](file, codes)
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}: the name of an image's file is not UTF-8, as a table must be:"
            " write .npz"
        ) from error


def read_codes(path: pathlib.Path) -> Codes:
    """Reads codes, from `write_codes` or of a user's own.

    Args:
        path: FILE.npz with the array `mean` [N, D], or with no other array than such a
            one; or FILE.csv or FILE.parquet with columns `mean_0`, `mean_1`, ....

    Returns:
        `mean` [N, D], float32, and of `files`, `rows` and `labels` what is there.

    Raises:
        ConfigError: see `check_path`.
        DataError: the file is missing or damaged, or holds no codes.
    """
    check_path("path", path)
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    codes = FORMATS[path.suffix][1](path)
    mean = codes["mean"]
    if mean.ndim != 2 or not mean.size or mean.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: mean is {mean.dtype} of shape {list(mean.shape)}; codes are"
            " numbers [N, D]"
        )
    with np.errstate(over="ignore"):  # becomes infinite, and is refused
        found = {"mean": mean.astype(np.float32)}
    if not np.isfinite(found["mean"]).all():
        raise DataError(f"{path}: mean holds values that are not finite as float32")
    for name in BESIDE:
        if name in codes:
            found[name] = codes[name]
            if found[name].shape != mean.shape[:1]:
                raise DataError(
                    f"{path}: {name} has shape {list(found[name].shape)} beside"
                    f" {len(mean)} codes"
                )
    for name in ("rows", "labels"):
        if name in found and found[name].dtype.kind not in "iu":
            raise DataError(
                f"{path}: {name} are {found[name].dtype}; they must be whole numbers"
            )
    return found


def _read_npz(path: pathlib.Path) -> Codes:
    with open_npz(path, str(path)) as archive:
        names = archive.files
        if "mean" in names:
            return {n: np.asarray(archive[n]) for n in ("mean", *BESIDE) if n in names}
        if len(names) == 1:
            return {"mean": np.asarray(archive[names[0]])}
    raise DataError(
        f"{path}: must hold the codes as mean, or as its only array; it has"
        f" {', '.join(names) or 'none at all'}"
    )


def _write_csv(file: IO[bytes], codes: Codes) -> None:
    table = columns(codes)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(table)
    for start in range(0, len(codes["mean"]), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        # As text, a float32 has as many digits as tell it from its neighbours.
        parts = [own[rows].astype(str) for own in table.values()]
        writer.writerows(zip(*parts, strict=True))
    text.detach()  # writes what is left, and leaves the file open


def _read_csv(path: pathlib.Path) -> Codes:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read as CSV ({error})") from error
    header = [name.strip() for name in header]
    if doubled := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{path}: there are several columns called {doubled[0]!r}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(
                f"{path}: line {number} has {len(row)} values for {len(header)} columns"
            )
    values = np.array(rows, str).reshape(len(rows), len(header)).T
    return _from_columns(path, dict(zip(header, values, strict=True)))


def _write_parquet(file: IO[bytes], codes: Codes) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns(codes)), file)


def _read_parquet(path: pathlib.Path) -> Codes:
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: can't be read as parquet ({error})") from error
    names = table.column_names
    return _from_columns(path, {n: table[n].to_numpy() for n in names})


def _from_columns(path: pathlib.Path, table: Columns) -> Codes:
    """The arrays whose `columns` a table holds, as far as `read_codes` needs them."""
    count = sum(re.fullmatch(r"mean_\d+", name) is not None for name in table)
    names = [f"mean_{number}" for number in range(count)]
    if not count or not set(names) <= table.keys():
        raise DataError(
            f"{path}: must have the columns mean_0, mean_1, ..., without a gap; it has"
            f" {', '.join(list(table)[:MOST_SHOWN])}"
        )
    means = [_as(np.float32, path, name, table[name]) for name in names]
    codes = {"mean": np.stack(means, axis=1)}
    for name, column in BESIDE.items():
        if column in table:
            kind = str if name == "files" else np.int64
            codes[name] = _as(kind, path, column, table[column])
    return codes


def _as(
    kind: type[np.generic | str], path: pathlib.Path, name: str, values: np.ndarray
) -> np.ndarray:
    """A column as numbers or text; numbers of floats are no labels."""
    if kind is np.int64 and values.dtype.kind == "f":
        return values  # `read_codes` refuses it
    try:
        return values.astype(kind)
    except (ValueError, TypeError, OverflowError) as error:
        what = "whole numbers" if kind is np.int64 else "numbers"
        raise DataError(f"{path}: column {name} must hold {what}") from error


# By suffix: (file, codes) -> None, and path -> codes.
FORMATS: dict[str, tuple[Callable[..., None], Callable[[pathlib.Path], Codes]]] = {
    ".npz": (lambda file, codes: np.savez_compressed(file, **codes), _read_npz),
    ".csv": (_write_csv, _read_csv),
    ".parquet": (_write_parquet, _read_parquet),
}
