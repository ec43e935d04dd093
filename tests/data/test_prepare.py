"""A set built from its original files holds exactly their pixels, or is not there."""

import gzip
import hashlib
import importlib.util
import os
import pathlib
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from vae_jax.data import prepare, tfds_sources
from vae_jax.errors import ConfigError, DataError

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
IMAGES = {n: RNG.integers(0, 256, (n, 28, 28), np.uint8) for n in (3, 7)}
LABELS = {n: RNG.integers(0, 10, n, np.uint8) for n in (3, 7)}


def idx(array: np.ndarray) -> bytes:
    """The format of the original MNIST files: a header, then the bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def amat(images: np.ndarray) -> bytes:
    rows = images.reshape(len(images), -1)
    return b"".join(" ".join(map(str, row)).encode() + b"\n" for row in rows)


def write_raw(folder: pathlib.Path, files: dict[str, bytes], monkeypatch) -> None:
    """Writes files and makes them the originals that TFDS is said to record."""
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    records = {
        file: (f"http://127.0.0.1:9/{file}", len(x), hashlib.sha256(x).hexdigest())
        for file, x in files.items()
    }
    monkeypatch.setattr(prepare, "_records", lambda name: records)


@pytest.fixture
def raw(tmp_path, monkeypatch) -> pathlib.Path:
    files = {
        "train-images-idx3-ubyte.gz": idx(IMAGES[7]),
        "train-labels-idx1-ubyte.gz": idx(LABELS[7]),
        "t10k-images-idx3-ubyte.gz": idx(IMAGES[3]),
        "t10k-labels-idx1-ubyte.gz": idx(LABELS[3]),
    }
    write_raw(tmp_path / "raw", files, monkeypatch)
    return tmp_path / "raw"


def pairs(images: np.ndarray, labels: np.ndarray | None) -> list[tuple[bytes, int]]:
    labels = np.zeros(len(images), int) if labels is None else labels
    return sorted((x.tobytes(), int(y)) for x, y in zip(images, labels, strict=True))


def assert_splits(read: dict, expected: dict) -> None:
    assert list(read) == list(expected)
    for split, (images, labels) in expected.items():
        assert read[split].images.shape == (len(images), 28, 28, 1)
        found = pairs(read[split].images, read[split].labels)
        assert found == pairs(images, labels)


def test_every_file_that_is_read_is_recorded_by_tfds():
    for name, splits in prepare.RAW_FILES.items():
        records = prepare._records(name)
        for file in (file for files in splits.values() for file in files):
            url, size, sha256 = records[file]
            assert url.endswith(file)
            assert size > 1000
            assert len(sha256) == 64


def test_mnist_files(raw, tmp_path):
    out = tmp_path / "out"
    line = prepare.prepare("mnist", raw_dir=raw, data_dir=out)
    assert line == f"built: mnist/3.0.1 (train 7, test 3) in {out}/mnist/3.0.1"
    read = tfds_sources.read_set("mnist", out)
    expected = {"train": (IMAGES[7], LABELS[7]), "test": (IMAGES[3], LABELS[3])}
    assert_splits(read, expected)


def test_a_second_build_changes_nothing(raw, tmp_path):
    out = tmp_path / "out"
    prepare.prepare("mnist", raw_dir=raw, data_dir=out)
    before = {f: f.stat().st_mtime_ns for f in out.rglob("*")}
    for options in ({}, {"raw_dir": raw}, {"raw_dir": "/none"}):
        line = prepare.prepare("mnist", data_dir=out, **options)
        assert line.startswith("already there: mnist/3.0.1 (train 7, test 3)")
    assert {f: f.stat().st_mtime_ns for f in out.rglob("*")} == before


@pytest.mark.parametrize("zipped", [False, True])
def test_amat_files(tmp_path, monkeypatch, zipped):
    bits = {"train": IMAGES[7] >> 7, "valid": IMAGES[3] >> 7, "test": IMAGES[3] & 1}
    files = {f"binarized_mnist_{k}.amat": amat(x) for k, x in bits.items()}
    write_raw(tmp_path / "raw", files, monkeypatch)
    if zipped:
        for file in (tmp_path / "raw").iterdir():
            file.with_name(f"{file.name}.gz").write_bytes(
                gzip.compress(file.read_bytes())
            )
            file.unlink()
    out = tmp_path / "out"
    prepare.prepare("binarized_mnist", raw_dir=tmp_path / "raw", data_dir=out)
    read = tfds_sources.read_set("binarized_mnist", out)
    splits = {"train": "train", "validation": "valid", "test": "test"}
    assert_splits(read, {split: (bits[k], None) for split, k in splits.items()})


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("t10k-labels-idx1-ubyte.gz", None, "there is no .*t10k-labels-idx1-ubyte.gz"),
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES[7]), "expected sha256 .*, found "),
        ("train-images-idx3-ubyte.gz", b"", "train-images.* is not the original"),
    ],
)
def test_missing_or_changed_files(raw, tmp_path, file, content, message):
    (raw / file).unlink()
    if content is not None:
        (raw / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        prepare.prepare("mnist", raw_dir=raw, data_dir=tmp_path / "out")
    assert "\n" not in str(error.value)
    assert file in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(bytes(9999), mtime=0)[:-20]],
    ids=["other", "truncated"],
)
def test_damaged_gz(tmp_path, monkeypatch, content):
    files = {
        f"binarized_mnist_{split}.amat": amat(IMAGES[3] >> 7)
        for split in ("train", "valid", "test")
    }
    write_raw(tmp_path / "raw", files, monkeypatch)
    (tmp_path / "raw" / "binarized_mnist_valid.amat").unlink()
    (tmp_path / "raw" / "binarized_mnist_valid.amat.gz").write_bytes(content)
    with pytest.raises(DataError, match="can't read .*binarized_mnist_valid.amat.gz"):
        prepare.prepare("binarized_mnist", raw_dir=tmp_path / "raw", data_dir=tmp_path)


def test_an_interrupted_build_leaves_no_set(raw, tmp_path, monkeypatch):
    out = tmp_path / "out"
    examples = prepare._examples

    def interrupted(images: np.ndarray, labels: np.ndarray):
        yield from examples(images[:2], labels[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "_examples", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare("mnist", raw_dir=raw, data_dir=out)
    assert tfds_sources.find_set("mnist", out) is None
    monkeypatch.setattr(prepare, "_examples", examples)
    assert "built" in prepare.prepare("mnist", raw_dir=raw, data_dir=out)


def test_half_a_set_is_not_taken_for_a_whole_one(raw, tmp_path):
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "3.0.1" / "mnist-train.array_record").touch()
    with pytest.raises(DataError, match="no complete set.*delete it"):
        prepare.prepare("mnist", raw_dir=raw, data_dir=tmp_path)


def test_a_folder_that_cannot_be_written(raw, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="can't write mnist to data_dir .*file"):
        prepare.prepare("mnist", raw_dir=raw, data_dir=tmp_path / "file")


def test_sets_without_an_offline_recipe(raw, tmp_path):
    with pytest.raises(ConfigError, match="raw_dir builds mnist, .*not 'cifar10'"):
        prepare.prepare("cifar10", raw_dir=raw, data_dir=tmp_path)
    with pytest.raises(DataError, match="Did you mean 'cifar10'"):
        prepare.prepare("cifar-10", data_dir=tmp_path)


# --- TFDS's own download and build: TensorFlow and the network are played here -------


def pretend_tensorflow(monkeypatch, installed: bool) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: installed or None if name == "tensorflow" else find_spec(name),
    )


def test_without_tensorflow(raw, tmp_path, monkeypatch):
    pretend_tensorflow(monkeypatch, False)
    with pytest.raises(DataError, match="pip install tensorflow`, or give --raw_dir"):
        prepare.prepare("mnist", data_dir=tmp_path)


def test_without_network(raw, tmp_path, monkeypatch):
    pretend_tensorflow(monkeypatch, True)
    with pytest.raises(DataError, match="can't reach http://127.0.0.1:9/"):
        prepare.prepare("mnist", data_dir=tmp_path)


def sleep(name: str, data_dir: str) -> None:
    time.sleep(60)


def fail(name: str, data_dir: str) -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    ("stand_in", "timeout_s", "message"),
    [(sleep, 1.0, "did not finish mnist in 1 s"), (fail, 60.0, "TFDS failed to build")],
)
def test_a_download_ends(raw, tmp_path, monkeypatch, stand_in, timeout_s, message):
    pretend_tensorflow(monkeypatch, True)
    monkeypatch.setattr(prepare, "_check_reachable", lambda url, offline: None)
    monkeypatch.setattr(prepare, "_download_and_prepare", stand_in)
    start = time.monotonic()
    with pytest.raises(DataError, match=message):
        prepare.prepare("mnist", data_dir=tmp_path, timeout_s=timeout_s)
    assert time.monotonic() - start < 45  # it did not wait for the child's 60 s


# --- The program and the real files ---------------------------------------------------


def run_program(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.prepare_data", *flags],
        cwd=REPOSITORY,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_program_says_what_is_wrong_in_one_line(tmp_path):
    done = run_program("--dataset=mnist", "--raw_dir=/none", f"--data_dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: raw_dir: there is no /none/train-images")
    assert done.stderr.count("\n") == 1
    done = run_program()
    assert (done.returncode, done.stderr) == (1, "error: --dataset is missing\n")


def original(raw_data: pathlib.Path, name: str) -> dict:
    """The raw files read a second way, by their formats' own definitions."""
    folder = raw_data / name
    if name == "binarized_mnist":
        bits = {}
        for split, k in (("train", "train"), ("validation", "valid"), ("test", "test")):
            with gzip.open(folder / f"binarized_mnist_{k}.amat.gz") as stream:
                digits = stream.read().translate(None, b" \n")
            bits[split] = (np.frombuffer(digits, "S1").astype(np.uint8), None)
        return bits

    def read(file: str) -> np.ndarray:
        with gzip.open(folder / file) as stream:
            ndim = stream.read(4)[3]
            shape = struct.unpack(f">{ndim}I", stream.read(4 * ndim))
            return np.array(list(stream.read()), np.uint8).reshape(shape)

    return {
        split: (read(f"{k}-images-idx3-ubyte.gz"), read(f"{k}-labels-idx1-ubyte.gz"))
        for split, k in (("train", "train"), ("test", "t10k"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "binarized_mnist"])
def test_real_sets_are_pixel_exact_and_the_stock_reader_opens_them(
    raw_data, tmp_path, name
):
    import tensorflow_datasets as tfds

    done = run_program(
        f"--dataset={name}", f"--raw_dir={raw_data / name}", f"--data_dir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"built: {name}/")
    read = tfds_sources.read_set(name, tmp_path)
    for split, (images, labels) in original(raw_data, name).items():
        images = images.reshape(-1, 28, 28)
        assert pairs(read[split].images, read[split].labels) == pairs(images, labels)
        stock = tfds.data_source(
            name, split=split, data_dir=str(tmp_path), download=False
        )
        assert len(stock) == len(images)
        for row in range(0, len(stock), 997):
            np.testing.assert_array_equal(stock[row]["image"], read[split].images[row])
    assert tfds.builder(name, data_dir=str(tmp_path)).is_prepared()
