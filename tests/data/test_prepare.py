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
import types

import numpy as np
import pytest

from tests.data.server import serve
from tests.data.test_recipes import amat, idx
from vae_jax.data import download, originals, prepare, recipes, tfds_sources
from vae_jax.errors import ConfigError, DataError

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
IMAGES = {n: RNG.integers(0, 256, (n, 28, 28), np.uint8) for n in (3, 7)}
LABELS = {n: RNG.integers(0, 10, n, np.uint8) for n in (3, 7)}


def write_raw(folder: pathlib.Path, files: dict[str, bytes], monkeypatch) -> None:
    """Writes files and makes them the originals that TFDS is said to record."""
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    records = {
        file: originals.Record(
            f"http://127.0.0.1:9/{file}", len(x), hashlib.sha256(x).hexdigest()
        )
        for file, x in files.items()
    }
    monkeypatch.setattr(originals, "records", lambda name: records)


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


def test_mnist_files(raw, tmp_path):
    out = tmp_path / "out"
    line = prepare.prepare("mnist", raw_dir=raw, data_dir=out)
    assert line == f"built: mnist/3.0.1 (train 7, test 3) in {out}/mnist/3.0.1"
    read = tfds_sources.read_set("mnist", out).splits
    expected = {"train": (IMAGES[7], LABELS[7]), "test": (IMAGES[3], LABELS[3])}
    assert_splits(read, expected)


def test_files_that_raw_dir_lacks_are_downloaded(raw, tmp_path, monkeypatch):
    labels = "t10k-labels-idx1-ubyte.gz"
    records = originals.records("mnist")
    with serve({labels: (raw / labels).read_bytes()}) as server:
        records[labels] = records[labels]._replace(url=f"{server.address}/{labels}")
        (raw / labels).unlink()
        line = prepare.prepare("mnist", raw_dir=raw, data_dir=tmp_path / "out")
        assert server.requests == [(f"/{labels}", None)]
    assert line.startswith("built: mnist/3.0.1 (train 7, test 3)")


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
    read = tfds_sources.read_set("binarized_mnist", out).splits
    splits = {"train": "train", "validation": "valid", "test": "test"}
    assert_splits(read, {split: (bits[k], None) for split, k in splits.items()})


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("t10k-labels-idx1-ubyte.gz", None, "can't be reached .*curl -L -o RAW/t10k-l"),
        ("t10k-images-idx3-ubyte.gz", idx(IMAGES[7]), "expected sha256 .*, found "),
        ("train-images-idx3-ubyte.gz", b"", "train-images.* is not the original"),
    ],
)
def test_missing_or_changed_files(raw, tmp_path, monkeypatch, file, content, message):
    monkeypatch.setattr(download, "time", types.SimpleNamespace(sleep=lambda s: None))
    (raw / file).unlink()
    if content is not None:
        (raw / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        prepare.prepare("mnist", raw_dir=raw, data_dir=tmp_path / "out")
    assert "\n" not in str(error.value)
    assert file in str(error.value)
    assert not (tmp_path / "out" / "mnist").exists()


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
    examples = recipes._examples

    def interrupted(images: np.ndarray, labels: np.ndarray):
        yield from examples(images[:2], labels[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "_examples", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare("mnist", raw_dir=raw, data_dir=out)
    assert tfds_sources.find_set("mnist", out) is None
    monkeypatch.setattr(recipes, "_examples", examples)
    assert "built" in prepare.prepare("mnist", raw_dir=raw, data_dir=out)


def test_what_is_no_set_of_tfds_needs_no_preparation(tmp_path):
    for name in ("digits", "mnist_5k", "npz:a.npz", "folder:pets"):
        line = prepare.prepare(name, data_dir=tmp_path)
        assert line == f"nothing to build: {name} is read as it is"
    assert list(tmp_path.iterdir()) == []


def test_half_a_set_is_not_taken_for_a_whole_one(raw, tmp_path):
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "3.0.1" / "mnist-train.array_record").touch()
    with pytest.raises(DataError, match="incomplete set.*delete it"):
        prepare.prepare("mnist", raw_dir=raw, data_dir=tmp_path)


def test_a_folder_that_cannot_be_written(raw, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="can't write mnist to data_dir .*file"):
        prepare.prepare("mnist", raw_dir=raw, data_dir=tmp_path / "file")


def test_sets_without_an_offline_recipe(raw, tmp_path):
    with pytest.raises(ConfigError, match="raw_dir builds mnist, .*not 'cifar100'"):
        prepare.prepare("cifar100", raw_dir=raw, data_dir=tmp_path)
    with pytest.raises(DataError, match="Did you mean 'cifar10'"):
        prepare.prepare("cifar-10", data_dir=tmp_path)


def test_configs_and_versions_that_do_not_exist(tmp_path):
    for name, message in {
        "emnist/leters": "emnist has no config 'leters'. Did you mean emnist/letters?",
        "mnist/letters": "mnist has no config 'letters'. Valid are none",
        "mnist:1.0.0": "mnist:1.0.0: the version that is built is 3.0.1, not 1.0.0",
    }.items():
        with pytest.raises(DataError) as error:
            prepare.prepare(name, data_dir=tmp_path)
        assert str(error.value).startswith(message)
    assert prepare._builder_config("emnist").name == "byclass"  # as TFDS does
    assert list(tmp_path.iterdir()) == []


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
    with pytest.raises(DataError, match="pip install tensorflow` .only mnist, .*do w"):
        prepare.prepare("cifar100", data_dir=tmp_path)


def test_without_network(raw, tmp_path, monkeypatch):
    pretend_tensorflow(monkeypatch, True)
    with pytest.raises(DataError, match="can't reach http://127.0.0.1:9/"):
        prepare.prepare("cifar100", data_dir=tmp_path)


def sleep(name: str, data_dir: str) -> None:
    time.sleep(60)


def fail(name: str, data_dir: str) -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    ("stand_in", "timeout_s", "message"),
    [
        (sleep, 1.0, "did not finish cifar100 in 1 s"),
        (fail, 60.0, "TFDS failed to build"),
    ],
)
def test_a_download_ends(raw, tmp_path, monkeypatch, stand_in, timeout_s, message):
    pretend_tensorflow(monkeypatch, True)
    monkeypatch.setattr(prepare, "_check_reachable", lambda url: None)
    monkeypatch.setattr(prepare, "_download_and_prepare", stand_in)
    start = time.monotonic()
    with pytest.raises(DataError, match=message):
        prepare.prepare("cifar100", data_dir=tmp_path, timeout_s=timeout_s)
    assert time.monotonic() - start < 45  # it did not wait for the child's 60 s


# --- The program and the real files ---------------------------------------------------


def run_program(*flags: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.prepare_data", *flags],
        cwd=REPOSITORY,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_program_says_what_is_wrong_in_one_line(tmp_path):
    done = run_program("--dataset=mnist", "--raw_dir=/none", f"--data_dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == "error: raw_dir: there is no folder /none\n"
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
            return np.array(bytearray(stream.read())).reshape(shape)

    return {
        split: (read(f"{k}-images-idx3-ubyte.gz"), read(f"{k}-labels-idx1-ubyte.gz"))
        for split, k in (("train", "train"), ("test", "t10k"))
    }


def as_published(raw_data: pathlib.Path, name: str) -> dict[str, bytes]:
    """The original files, by the names in their URLs."""
    files = {}
    for path in (raw_data / name).iterdir():
        if path.name.endswith(".amat.gz"):
            files[path.stem] = gzip.decompress(path.read_bytes())
        else:
            files[path.name] = path.read_bytes()
    return files


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "binarized_mnist"])
def test_real_sets_are_pixel_exact_and_the_stock_reader_opens_them(
    raw_data, tmp_path, name
):
    """MNIST got by hand, the others downloaded from TFDS's own http addresses.

    The server stands in as the proxy, and breaks off once.
    """
    import tensorflow_datasets as tfds

    flags = [f"--dataset={name}", f"--data_dir={tmp_path}"]
    if name == "mnist":
        done = run_program(*flags, f"--raw_dir={raw_data / name}")
    else:
        with serve(as_published(raw_data, name)) as server:
            server.plan = ["break"]
            done = run_program(*flags, http_proxy=server.address, no_proxy="")
            asked = [path for path, _ in server.requests]
            urls = {record.url for record in originals.records(name).values()}
            assert set(asked) == urls
            assert len(asked) == len(urls) + 1
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"built: {name}/")
    read = tfds_sources.read_set(name, tmp_path).splits
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
