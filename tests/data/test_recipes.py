"""Each recipe yields what TFDS's own generator yields, from files in the real format.

The generators need TensorFlow only to open files and to list folders: a stand-in for
that makes them the reference.
"""

import gzip
import hashlib
import io
import os
import pathlib
import struct
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds
from PIL import Image

from tests.data.server import serve
from tests.runs_helpers import REPOSITORY
from vae_jax.data import originals, prepare, recipes, tfds_sources
from vae_jax.errors import DataError

RNG = np.random.default_rng(0)
FEW = {"train": 5, "test": 3}
GREY = {s: RNG.integers(0, 256, (n, 28, 28), np.uint8) for s, n in FEW.items()}
COLOUR = {s: RNG.integers(0, 256, (n, 32, 32, 3), np.uint8) for s, n in FEW.items()}
CLASSES = {s: RNG.integers(0, 10, n, np.uint8) for s, n in FEW.items()}
CIFAR_NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()
EXTRA = 4  # images in EMNIST's files beyond those that TFDS takes


def idx(array: np.ndarray) -> bytes:
    """The format of the original MNIST files: a header, then the bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def amat(images: np.ndarray) -> bytes:
    rows = images.reshape(len(images), -1)
    return b"".join(" ".join(map(str, row)).encode() + b"\n" for row in rows)


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def idx_files() -> dict[str, bytes]:
    return {
        name: idx(array)
        for split, names in recipes.IDX_FILES.items()
        for name, array in zip(names, (GREY[split], CLASSES[split]), strict=True)
    }


def emnist_files() -> dict[str, bytes]:
    members = {"gzip/": b"", "gzip/emnist-mapping.txt": b"1 65\n"}
    for split in FEW:
        start = f"gzip/emnist-letters-{split}"
        images = np.concatenate([GREY[split], np.zeros((EXTRA, 28, 28), np.uint8)])
        labels = np.concatenate([CLASSES[split], np.ones(EXTRA, np.uint8)])
        members[f"{start}-images-idx3-ubyte.gz"] = idx(images)
        members[f"{start}-labels-idx1-ubyte.gz"] = idx(labels)
    return {"gzip.zip": zipped(members)}


def cifar_files() -> dict[str, bytes]:
    rows = {
        split: np.concatenate(
            [
                CLASSES[split][:, None],
                COLOUR[split].transpose(0, 3, 1, 2).reshape(len(COLOUR[split]), -1),
            ],
            axis=1,
        )
        for split in FEW
    }
    folder = "cifar-10-batches-bin"
    members = {
        f"{folder}/data_batch_{i + 1}.bin": row.tobytes()
        for i, row in enumerate(rows["train"])
    }
    members[f"{folder}/test_batch.bin"] = rows["test"].tobytes()
    members[f"{folder}/batches.meta.txt"] = "\n".join([*CIFAR_NAMES, "", ""]).encode()
    members[f"{folder}/readme.html"] = b"<html>"
    return {"cifar-10-binary.tar.gz": tar(dict(reversed(members.items())))}


def svhn_files() -> dict[str, bytes]:
    files = {}
    for split, like in (("train", "train"), ("test", "test"), ("extra", "test")):
        file = io.BytesIO()
        labels = np.where(CLASSES[like] == 0, 10, CLASSES[like])[:, None]
        arrays = {"X": np.moveaxis(COLOUR[like], 0, -1), "y": labels}
        scipy.io.savemat(file, arrays, do_compression=True)
        files[f"{split}_32x32.mat"] = file.getvalue()
    return files


def drawing() -> bytes:
    """A PNG of one bit, as Omniglot's are."""
    file = io.BytesIO()
    pixels = RNG.integers(0, 2, (105, 105), np.uint8) * np.uint8(255)
    Image.fromarray(pixels).convert("1").save(file, "PNG")
    return file.getvalue()


def omniglot_files() -> dict[str, bytes]:
    characters = {  # alphabet, character, label
        "images_background": [("Latin", 2, 3), ("Latin", 1, 2), ("Greek", 1, 1)],
        "images_evaluation": [("Tengwar", 1, 4)],
        "images_background_small1": [("Greek", 1, 1)],
        "images_background_small2": [("Latin", 2, 3)],
    }
    return {
        f"{root}.zip": zipped(
            {f"{root}/": b""}
            | {
                f"{root}/{alphabet}/character{c:02d}/{label:04d}_{n:02d}.png": drawing()
                for alphabet, c, label in found
                for n in (2, 1)
            }
        )
        for root, found in characters.items()
    }


MADE = {
    "mnist": idx_files,
    "fashion_mnist": idx_files,
    "kmnist": idx_files,
    "emnist/letters": emnist_files,
    "binarized_mnist": lambda: {
        f"binarized_mnist_{name}.amat": amat(GREY[split] >> 7)
        for name, split in (("train", "train"), ("valid", "test"), ("test", "test"))
    },
    "cifar10": cifar_files,
    "svhn_cropped": svhn_files,
    "omniglot": omniglot_files,
}


class StandIn:
    """TFDS's download manager, with files that are there."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def download(self, urls):
        if isinstance(urls, dict):
            return {key: self.download(url) for key, url in urls.items()}
        return str(self.folder / urls.rsplit("/", 1)[-1])

    def extract(self, paths):
        if isinstance(paths, dict):
            return {key: self.extract(path) for key, path in paths.items()}
        out = pathlib.Path(f"{paths}.extracted")
        if paths.endswith(".zip"):
            with zipfile.ZipFile(paths) as archive:
                archive.extractall(out)
        elif paths.endswith(".tar.gz"):
            with tarfile.open(paths) as archive:
                archive.extractall(out, filter="data")
        else:
            out.write_bytes(gzip.decompress(pathlib.Path(paths).read_bytes()))
        return str(out)

    def download_and_extract(self, urls):
        return self.extract(self.download(urls))


@pytest.fixture
def few(monkeypatch) -> None:
    """TFDS reads as many examples as the made files hold."""
    module = sys.modules[tfds.builder_cls("mnist").__module__]
    for split, size in FEW.items():
        monkeypatch.setattr(module, f"_{split.upper()}_EXAMPLES", size)
    module = sys.modules[tfds.builder_cls("omniglot").__module__]
    monkeypatch.setattr(module, "_NUM_ALPHABETS", 3)
    monkeypatch.setattr(module, "_NUM_CLASSES", 4)
    for config in tfds.builder_cls("emnist").BUILDER_CONFIGS:
        for split, size in FEW.items():
            monkeypatch.setattr(config, f"{split}_examples", size)


def stock(name: str, folder: pathlib.Path, monkeypatch) -> recipes.Contents:
    """What TFDS's own generators yield."""
    set_name, _, config = name.partition("/")
    builder = tfds.builder_cls(set_name)(
        data_dir=str(folder / "none"), **({"config": config} if config else {})
    )
    gfile = types.SimpleNamespace(GFile=open, listdir=os.listdir)
    stand_in = types.SimpleNamespace(io=types.SimpleNamespace(gfile=gfile))
    module = sys.modules[type(builder)._generate_examples.__module__]
    monkeypatch.setattr(module, "tf", stand_in)
    splits = builder._split_generators(StandIn(folder))
    if not isinstance(splits, dict):
        splits = {
            str(split.name): builder._generate_examples(**split.gen_kwargs)
            for split in splits
        }
    features = builder.info.features
    names = {
        key: features[key].names
        for key in ("alphabet", "label")
        if key in features and set_name in ("cifar10", "omniglot")
    }
    return recipes.Contents({str(k): list(v) for k, v in splits.items()}, names)


def pixels(image: object) -> np.ndarray:
    """Of an array, a path, or the bytes of a file."""
    if isinstance(image, np.ndarray):
        return image.squeeze()
    return np.asarray(
        Image.open(io.BytesIO(image) if isinstance(image, bytes) else image)
    )


@pytest.mark.parametrize("name", MADE)
def test_recipes_yield_what_the_generators_of_tfds_yield(
    name, tmp_path, few, monkeypatch
):
    recipe = recipes.RECIPES[tfds_sources.set_name(name)]
    files = {}
    for file, content in MADE[name]().items():
        (tmp_path / file).write_bytes(content)
        files[file] = originals.Original(tmp_path / file)
    assert files.keys() == set(recipe.files)
    ours = recipe.read(files, prepare._builder_config(name))
    theirs = stock(name, tmp_path, monkeypatch)
    assert list(ours.splits) == list(theirs.splits)
    assert {k: list(v) for k, v in ours.class_names.items()} == theirs.class_names
    for split, rows in ours.splits.items():
        found, expected = dict(rows), dict(theirs.splits[split])
        assert found.keys() == expected.keys() and len(found) >= 2
        for key, example in found.items():
            other = dict(expected[key])
            image, reference = pixels(example.pop("image")), pixels(other.pop("image"))
            np.testing.assert_array_equal(image, reference)
            assert example == {
                k: v if isinstance(v, str) else int(v) for k, v in other.items()
            }


@pytest.mark.parametrize("name", MADE)
def test_a_set_is_downloaded_built_and_read_without_tensorflow(
    name, tmp_path, few, monkeypatch
):
    files = MADE[name]()
    with serve(files) as server:
        server.plan = ["break"]
        known = {
            file: originals.Record(
                f"{server.address}/{file}",
                len(content),
                hashlib.sha256(content).hexdigest(),
            )
            for file, content in files.items()
        }
        monkeypatch.setattr(originals, "records", lambda name: known)
        no_pauses = types.SimpleNamespace(sleep=lambda seconds: None)
        monkeypatch.setattr("vae_jax.data.download.time", no_pauses)
        line = prepare.prepare(name, data_dir=tmp_path)
        assert line.startswith(f"built: {name}/")
        assert len(server.requests) == len(files) + 1
    assert "tensorflow" not in sys.modules
    read = tfds_sources.read_set(name, tmp_path).splits
    recipe = recipes.RECIPES[tfds_sources.set_name(name)]
    folder = tmp_path / "downloads" / "vae_jax" / tfds_sources.set_name(name)
    made = {file: originals.Original(folder / file) for file in files}
    contents = recipe.read(made, prepare._builder_config(name))
    for split, content in read.items():
        mode = "RGB" if content.images.shape[-1] == 3 else "L"
        expected, labels = [], []
        for _, example in contents.splits[split]:
            image = Image.open(io.BytesIO(example["image"])).convert(mode)
            expected.append(np.asarray(image).tobytes())
            labels.append(example.get("label"))
        found = [image.tobytes() for image in content.images]
        assert sorted(found) == sorted(expected)
        if content.labels is not None:
            pairs = dict(zip(expected, labels, strict=True))
            assert [pairs[image] for image in found] == content.labels.tolist()
    source = tfds.data_source(name, split="test", data_dir=tmp_path, download=False)
    assert source[0]["image"].shape == source.dataset_info.features["image"].shape
    if name == "cifar10":
        assert source.dataset_info.features["label"].names == CIFAR_NAMES
    if name == "omniglot":
        names = source.dataset_info.features["label"].names
        assert names == ["Greek_0", "Latin_0", "Latin_1", "Tengwar_0"]


@pytest.mark.parametrize("member", ["../x.png", "/etc/x.png", "a/../../x", "..\\x.png"])
def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path, member):
    (tmp_path / "gzip.zip").write_bytes(zipped({"gzip/a": b"", member: b"x"}))
    files = {"gzip.zip": originals.Original(tmp_path / "gzip.zip")}
    with pytest.raises(DataError, match="leads out of the zip"):
        recipes.RECIPES["emnist"].read(files, prepare._builder_config("emnist"))
    assert [path.name for path in tmp_path.iterdir()] == ["gzip.zip"]


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("emnist", {"gzip.zip": zipped({"gzip/a": b""})}, "no gzip/emnist-byclass-tr"),
        ("cifar10", {"cifar-10-binary.tar.gz": tar({"a": b""})}, "no .*/batches.meta"),
    ],
)
def test_a_missing_member_is_named(tmp_path, name, files, message):
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    made = {file: originals.Original(tmp_path / file) for file in files}
    with pytest.raises(DataError, match=message):
        recipes.RECIPES[name].read(made, prepare._builder_config(name))


def test_every_file_that_is_read_is_recorded_by_tfds():
    for name, recipe in recipes.RECIPES.items():
        known = originals.records(name)
        for file in recipe.files:
            url, size, sha256 = known[file]
            assert url.endswith(file) and url.startswith("http")
            assert size > 1000
            assert len(sha256) == 64


def test_the_page_on_data_has_every_size_and_file():
    page = (REPOSITORY / "docs" / "data.md").read_text("utf-8")
    for name, recipe in recipes.RECIPES.items():
        known = originals.records(name)
        size = sum(known[file].size for file in recipe.files) / 1e6
        rows = [line for line in page.splitlines() if f"`{name}" in line]
        assert any(f"| {size:,.1f} MB" in row for row in rows)
        assert any(all(f"`{file}`" in row for file in recipe.files) for row in rows)
