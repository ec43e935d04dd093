"""Images from every source arrive with the right pixels, or with a clear error."""

import dataclasses
import gzip
import os
import pathlib
import zlib

import numpy as np
import pytest

from tests.data.image_bytes import encoded, examples, same_rows
from vae_jax.data import array_cache, digits, packaged, prepare, tfds_sources
from vae_jax.data.dataset import Dataset, Split
from vae_jax.data.description import describe
from vae_jax.data.npz import read_arrays
from vae_jax.data.sources import load_dataset, moved
from vae_jax.data.spec import DataSpec
from vae_jax.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 28, 28, 1), np.uint8)
COLOUR = RNG.integers(0, 256, (20, 32, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory, monkeypatch) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("user_cache")
    monkeypatch.setenv("VAE_JAX_CACHE", str(folder))
    return folder


def all_images(dataset: Dataset) -> np.ndarray:
    splits = (dataset.train, dataset.validation, dataset.test)
    return np.concatenate([split.images for split in splits])


# --- Splits and properties --------------------------------------------------------


def test_missing_splits_are_a_seeded_partition_of_train(tmp_path):
    images = np.arange(100, dtype=np.uint8).repeat(16).reshape(100, 4, 4)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=np.arange(100))

    def load(**options) -> Dataset:
        return load_dataset(f"npz:{tmp_path / 'a.npz'}", **options)

    dataset = load(validation_fraction=0.2, test_fraction=0.1)
    rows = {
        s: getattr(dataset, s).images[:, 0, 0, 0]
        for s in ("train", "validation", "test")
    }
    assert {s: len(r) for s, r in rows.items()} == dict(
        train=70, validation=20, test=10
    )
    assert sorted(np.concatenate(list(rows.values()))) == list(range(100))
    for split, order in rows.items():
        np.testing.assert_array_equal(getattr(dataset, split).labels, order)
        assert (np.diff(order.astype(int)) > 0).all()  # the source's order is kept
    again = load(validation_fraction=0.2, test_fraction=0.1)
    np.testing.assert_array_equal(again.train.images, dataset.train.images)
    other = load(validation_fraction=0.3, test_fraction=0.1)
    np.testing.assert_array_equal(other.test.images, dataset.test.images)
    assert (load(seed=1).test.images != dataset.test.images).any()


def test_only_the_missing_split_is_drawn(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=GREY[:10], x_test=GREY[10:])
    dataset = load_dataset(f"npz:{tmp_path / 'a.npz'}", validation_fraction=0.3)
    np.testing.assert_array_equal(dataset.test.images, GREY[10:])
    assert (len(dataset.train), len(dataset.validation)) == (7, 3)
    drawn = np.concatenate([dataset.train.images, dataset.validation.images])
    assert same_rows(drawn, GREY[:10])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan"), 0.01, 0.99])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_split_may_be_empty(tmp_path, split, fraction):
    np.savez(tmp_path / "a.npz", x_train=GREY)
    with pytest.raises(DataError, match=f"{split}_fraction={fraction}"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}", **{f"{split}_fraction": fraction})


def test_levels_and_fingerprint():
    def dataset(images: np.ndarray) -> Dataset:
        return Dataset("x", *(Split(images[i::3]) for i in range(3)))

    binary = (GREY > 127).astype(np.uint8) * np.uint8(255)
    assert dataset(binary).levels == "binary"
    assert dataset(GREY).levels == "8bit"
    assert dataset(binary // 255).levels == "8bit"  # 0 and 1 are nearly black
    assert dataset(GREY.astype(np.float32) / 255).levels == "float"
    expected = zlib.crc32(GREY[0::3].tobytes() + GREY[2::3].tobytes())
    assert dataset(GREY).fingerprint == expected
    changed = GREY.copy()
    changed[2, 0, 0, 0] ^= 1
    assert dataset(changed).fingerprint != expected
    assert dataset(GREY).image_shape == (28, 28, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset(GREY).name = "y"  # type: ignore[misc]


def test_rows_lead_back_to_the_source(tmp_path):
    """Of splits that were drawn, and of one that the source has."""
    np.savez(tmp_path / "a.npz", x_train=GREY[:14], x_test=GREY[14:])
    dataset = load_dataset(f"npz:{tmp_path / 'a.npz'}", validation_fraction=0.3)
    source = {"train": GREY[:14], "validation": GREY[:14], "test": GREY[14:]}
    for name, images in source.items():
        split = getattr(dataset, name)
        np.testing.assert_array_equal(images[split.rows], split.images)
    np.testing.assert_array_equal(dataset.test.rows, range(6))


def test_one_line_describes_a_dataset():
    def line(**fields) -> str:
        splits = [Split(GREY[i::4], np.array([0, 1, 1, -1, 5])) for i in range(3)]
        return describe(Dataset("npz:a\tb", *splits, **fields))

    sizes = "train 5, validation 5, test 5"
    assert line() == rf"npz:a\tb: 15 images 28x28x1 in 3 classes: {sizes}"
    names = tuple("abcdefghijk")
    assert line(class_names=names, notes=("2 files skipped", "cut")) == (
        r"npz:a\tb: 15 images 28x28x1 in 11 classes (a, b, c, d, e, f, g, h, and 3"
        f" more): {sizes}; 2 files skipped; cut"
    )
    assert line(class_names=("cat\n",)).endswith(rf"in 1 class (cat\n): {sizes}")


# --- digits and npz ---------------------------------------------------------------


@pytest.mark.parametrize("is_there", [True, False])
def test_digits(monkeypatch, is_there):
    from sklearn.datasets import load_digits

    if not is_there:
        monkeypatch.setattr(digits, "_FILE", "sklearn/elsewhere.csv.gz")
    dataset = load_dataset("digits")
    assert dataset.image_shape == (8, 8, 1)
    assert dataset.levels == "8bit"
    assert dataset.train.images.max() == 255
    expected = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert same_rows(all_images(dataset), expected)
    assert set(dataset.train.labels) == set(range(10))


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"1,2\n")],
    ids=["no gzip", "two columns"],  # the bytes hold the time at which they are made
)
def test_digits_of_another_file_are_one_line(tmp_path, monkeypatch, content):
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr(packaged, "find", lambda *names: path)
    with pytest.raises(DataError, match=f"^digits: .*{path}"):
        load_dataset("digits")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (GREY, GREY),
        (GREY[..., 0], GREY),
        (COLOUR, COLOUR),
        (GREY.astype(np.float32) / 255, GREY),
        (GREY.astype(np.float64) * (1 / 255), GREY),
        (GREY > 127, (GREY > 127) * np.uint8(255)),
        ((GREY > 127).astype(np.uint8), (GREY > 127) * np.uint8(255)),
        ((GREY > 127).astype(np.float32), (GREY > 127) * np.uint8(255)),
        (GREY.astype(np.float64) / 256, GREY.astype(np.float32) / 256),
    ],
)
def test_npz_images(tmp_path, stored, expected):
    np.savez_compressed(
        tmp_path / "a.npz",
        **{
            "x_train": stored[:10],
            "x_validation": stored[10:15],
            "x_test": stored[15:],
        },
        **{"y_train": np.arange(10), "y_validation": np.arange(5)[:, None]},
    )
    dataset = load_dataset(f"npz:{tmp_path / 'a.npz'}")
    np.testing.assert_array_equal(all_images(dataset), expected)
    assert dataset.train.images.dtype == expected.dtype
    np.testing.assert_array_equal(dataset.validation.labels, np.arange(5))
    assert dataset.train.labels.dtype == np.int64
    assert dataset.test.labels is None


def test_true_is_white_whatever_other_splits_hold(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=GREY > 127, x_test=GREY)
    dataset = load_dataset(f"npz:{tmp_path / 'a.npz'}")
    assert set(np.unique(dataset.train.images)) == {0, 255}
    np.testing.assert_array_equal(dataset.test.images, GREY)


def test_labels_keep_their_values(tmp_path):
    labels = 2**31 + np.arange(20)  # would be negative as int32
    np.savez(tmp_path / "a.npz", x_train=GREY, x_test=GREY, y_train=labels)
    dataset = load_dataset(f"npz:{tmp_path / 'a.npz'}")
    assert set(dataset.train.labels) | set(dataset.validation.labels) == set(labels)


def test_npz_factors(tmp_path):
    """They go with their images into splits that are drawn, and have names."""
    factors = np.stack([np.arange(20) % 4, np.arange(20) // 4], axis=1)
    parts = {"x_train": GREY, "factors_train": factors}
    np.savez(tmp_path / "a.npz", **parts, factor_names=["place", "turn"])
    dataset = load_dataset(f"npz:{tmp_path / 'a.npz'}")
    for split in dataset.splits.values():
        np.testing.assert_array_equal(split.factors, factors[split.rows])
    spec = dataset.spec
    assert (spec.factor_sizes, spec.factor_names) == ((4, 5), ("place", "turn"))
    assert "28x28x1 with 2 factors (place 4, turn 5): train" in describe(dataset)
    np.savez(tmp_path / "a.npz", **parts)
    dataset = load_dataset(f"npz:{tmp_path / 'a.npz'}")
    assert dataset.spec.factor_names is None
    assert "28x28x1 with 2 factors (4, 5): train" in describe(dataset)


def test_rows_of_real_numbers_become_images_of_one_row(tmp_path):
    """Of floats of any size, however they are stored; also of those within [0, 1]."""
    rows = np.random.default_rng(0).normal(size=(20, 3))
    for stored in (rows * 100, np.abs(np.tanh(rows)), np.round(np.abs(rows) > 1)):
        np.savez(tmp_path / "a.npz", x_train=stored[:15], x_test=stored[15:])
        dataset = load_dataset(f"npz:{tmp_path / 'a.npz'}", validation_fraction=0.2)
        assert (dataset.levels, dataset.image_shape) == ("real", (1, 3, 1))
        assert same_rows(all_images(dataset)[:, 0, :, 0], stored.astype(np.float32))
        np.testing.assert_array_equal(
            dataset.spec.as_stored(dataset.test.images), stored[15:].astype(np.float32)
        )
        sizes = "train 12, validation 3, test 5"
        assert describe(dataset).endswith(f"a.npz: 20 rows of 3 numbers: {sizes}")
        assert dataset.spec.why_no_pictures == "the data are rows of real numbers"
    np.testing.assert_array_equal(
        read_arrays(tmp_path / "a.npz", dataset.spec)[:, 0, :, 0], stored[15:]
    )


X = GREY[..., 0]
R = np.zeros((20, 3))
F = np.zeros((20, 2), int)
BAD_NPZ = {
    "no x_train; it has train_images": dict(train_images=X),
    "x_train has shape (20, 28); it must be [N, H, W] or [N, H, W, C] with C from 1 to"
    " 4; rows of real numbers are floats [N, D]": dict(x_train=X[:, :, 0]),
    "x_train has shape (20, 28, 28, 5)": dict(x_train=np.zeros((20, 28, 28, 5))),
    "(20, 3, 16, 16); it must be [N, H, W] or [N, H, W, C] with C from 1 to 4; for"
    " PyTorch's order [N, C, H, W] store x.transpose(0, 2, 3, 1)": dict(
        x_train=np.zeros((20, 3, 16, 16))
    ),
    "x_train has shape ()": dict(x_train=np.array(1.0)),
    "x_train is empty": dict(x_train=X[:0]),
    "x_val is not read; names of arrays are x_train, y_train,": dict(
        x_train=X, x_val=X
    ),
    "Y_test is not read": dict(x_train=X, x_test=X, Y_test=np.zeros(20, int)),
    "the largest value is 1 in train, 255 in test: store all images as 0 to 255": dict(
        x_train=(X > 127).astype(np.uint8), x_test=X
    ),
    "data.test_fraction=0.1 of 3 training images leaves 0 for the test split and 3 for"
    " training; each needs one or more": dict(x_train=X[:3]),
    "x_test is empty": dict(x_train=X, x_test=X[:0]),
    "x_train has dtype int64": dict(x_train=X.astype(np.int64)),
    "from nan to nan": dict(x_train=np.where(X > 3, X / 255, np.nan)),
    "from 0 to 255; floats must lie in [0, 1]": dict(x_train=X.astype(np.float32)),
    "from -1 to 1": dict(x_train=np.sign(X / 255 - 0.5)),
    "can't be read (Object arrays cannot be loaded": dict(x_train=np.array([None])),
    "y_train is int64 of shape (19,)": dict(x_train=X, y_train=np.arange(19)),
    "y_train goes up to 9223372036854775808; labels": dict(
        x_train=X, y_train=np.full(20, 2**63, np.uint64)
    ),
    "y_train is float64": dict(x_train=X, y_train=np.zeros(20)),
    "y_test without x_test": dict(x_train=X, y_test=np.arange(20)),
    "x_test has uint8 images of shape (14, 28, 1)": dict(x_train=X, x_test=X[:, ::2]),
    "x_test has float64 images": dict(x_train=X, x_test=X / 255),
    "x_test is uint8 of shape (20, 28, 28); rows of real numbers are floats": dict(
        x_train=R, x_test=X
    ),
    "x_train holds values that are not finite": dict(x_train=np.where(R, R, np.nan)),
    "x_test holds values that are not finite": dict(x_train=R, x_test=R + 1e300),
    "x_test has float32 rows of shape (2,), but x_train float32 of (3,)": dict(
        x_train=R, x_test=R[:, :2]
    ),
    "x_train is empty: shape (0, 3)": dict(x_train=R[:0]),
    "x_test has shape (20, 3); it must be [N, H, W]": dict(x_train=X, x_test=R),
    "factors_test without x_test": dict(x_train=X, factors_test=F),
    "the factors of train are int64 (19, 2), from 0 to 0; they must be whole numbers"
    " from 0, [20, F]": dict(x_train=X, factors_train=F[1:]),
    "the factors of train are int64 (20,)": dict(x_train=X, factors_train=F[:, 0]),
    "the factors of train are int64 (20, 0)": dict(x_train=X, factors_train=F[:, :0]),
    "2 factors have the names a, b, b: each": dict(
        x_train=X, factors_train=F, factor_names=["a", "b", "b"]
    ),
    "the factors of train are float64": dict(x_train=X, factors_train=F / 2),
    "of train are int64 (20, 2), from -1 to -1": dict(x_train=X, factors_train=F - 1),
    "from 2.14748e+09 to": dict(x_train=X, factors_train=F + 2**31),
    "the factors of test are none": dict(x_train=X, x_test=X, factors_train=F),
    "the factors of train are none": dict(x_train=X, x_test=X, factors_test=F),
    "2 factors have the names a, a: each needs one of its own": dict(
        x_train=X, factors_train=F, factor_names=["a", "a"]
    ),
    "factors have names (a, b), but no image has any": dict(
        x_train=X, factor_names=["a", "b"]
    ),
    "factor_names is int64 of shape (2,); it must hold one string": dict(
        x_train=X, factors_train=F, factor_names=[1, 2]
    ),
}


@pytest.mark.parametrize("message", BAD_NPZ)
def test_bad_npz(tmp_path, message):
    np.savez(tmp_path / "a.npz", **BAD_NPZ[message])
    with pytest.raises(DataError) as error:
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    assert message.removeprefix("no ") in str(error.value)
    assert str(tmp_path / "a.npz") in str(error.value)
    assert "\n" not in str(error.value)


def test_names_of_arrays_are_escaped(tmp_path):
    np.savez(tmp_path / "a.npz", **{"x\n\x1b[2J": X})
    with pytest.raises(DataError) as error:
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    assert r"no array x_train; it has x\n\x1b[2J" in str(error.value)


def test_arrays_for_a_trained_model(tmp_path):
    """x_test, or the only array; the values as load_dataset would give them."""
    file = tmp_path / "a.npz"
    spec = DataSpec((4, 4, 1), "8bit", 1)
    binary = dataclasses.replace(spec, levels="binary")
    dark = np.minimum(GREY, 1)
    floats = np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 4, 4, 1)
    for arrays, of, expected in [
        (dict(x_train=X[:3], x_test=X), spec, GREY),
        (dict(anything=COLOUR), spec, COLOUR),
        (dict(x=X / 255), spec, GREY),
        (dict(x=X > 99), spec, (GREY > 99) * np.uint8(255)),
        (dict(x=floats), spec, floats),
        (dict(x=dark), binary, dark * np.uint8(255)),
        (dict(x=dark * np.uint8(255)), binary, dark * np.uint8(255)),
    ]:
        np.savez(file, **arrays)
        np.testing.assert_array_equal(read_arrays(file, of), expected)
    for arrays, message in [
        (dict(x_train=X, y_train=X), "as its only array; it has x_train, y_train"),
        (dict(x=X.astype(np.int64)), "a.npz: x has dtype int64"),
        (dict(x=dark), "a.npz: x: the largest value of these uint8 images is 1, and"),
    ]:
        np.savez(file, **arrays)
        with pytest.raises(DataError, match=message):
            read_arrays(file, spec)
    file.write_bytes(b"PK")
    with pytest.raises(DataError, match="not an npz file"):
        read_arrays(file, spec)


def test_where_a_moved_set_is_looked_for(tmp_path):
    (tmp_path / "a.npz").touch()
    (tmp_path / "pets").mkdir()
    for name, data_dir, expected in [
        ("npz:/old/a.npz", tmp_path, f"npz:{tmp_path}/a.npz"),
        ("npz:/old/b.npz", tmp_path / "a.npz", f"npz:{tmp_path}/a.npz"),
        ("npz:/old/b.npz", tmp_path, f"npz:{tmp_path}/b.npz"),  # names what is missing
        ("folder:/old/pets", tmp_path, f"folder:{tmp_path}/pets"),
        ("folder:/old/cats", tmp_path / "pets", f"folder:{tmp_path}/pets"),
        ("mnist", tmp_path, "mnist"),
        ("digits", tmp_path, "digits"),
    ]:
        assert moved(name, str(data_dir)) == expected


class Bomb:
    """Removes the file it was built with when it is unpickled."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.remove, (str(self.path),)


def test_npz_never_unpickles(tmp_path):
    victim = tmp_path / "victim"
    victim.touch()
    np.savez(tmp_path / "a.npz", x_train=np.array([Bomb(victim)], dtype=object))
    with pytest.raises(DataError, match="can't be read"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    assert victim.exists()


def test_damaged_npz(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="can't be read.*CRC"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    (tmp_path / "a.npz").write_bytes(content[:1000])
    with pytest.raises(DataError, match="not an npz file"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    with pytest.raises(DataError, match="there is no file"):
        load_dataset(f"npz:{tmp_path / 'b.npz'}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(image_size=8), "not for digits"),
        (dict(grayscale=True), "not for digits"),
        (dict(image_size=0), "data.image_size=0: must be a whole number above 0"),
        (dict(image_size=(8, -1)), "data.image_size=8,-1: must be"),
        (dict(image_size=[8, 8, 1]), "data.image_size=8,8,1: must be"),
        (dict(image_size=8.0), "data.image_size=8.0: must be"),
        (dict(image_size=True), "data.image_size=True: must be"),
        (dict(image_size="8x9"), "data.image_size=8x9: .* two of them, height,width"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        load_dataset("digits", **options)


# --- TFDS -------------------------------------------------------------------------


@pytest.fixture
def mnist(tmp_path) -> pathlib.Path:
    """A folder with an MNIST of 15 training and 5 test images."""
    labels = np.arange(20) % 10
    splits = {
        "train": examples(GREY[:15], label=labels[:15]),
        "test": examples(GREY[15:], label=labels[15:]),
    }
    prepare.build_offline("mnist", splits, tmp_path / "sets")
    return tmp_path / "sets"


def test_tfds_set(mnist, monkeypatch):
    dataset = load_dataset("mnist", data_dir=mnist, validation_fraction=0.2)
    assert [len(getattr(dataset, s)) for s in ("train", "validation", "test")] == [
        12,
        3,
        5,
    ]
    assert same_rows(all_images(dataset), GREY)
    assert same_rows(dataset.test.images, GREY[15:])
    label_of = {x.tobytes(): i % 10 for i, x in enumerate(GREY)}
    for image, label in zip(dataset.train.images, dataset.train.labels, strict=True):
        assert label_of[image.tobytes()] == label
    monkeypatch.setenv("TFDS_DATA_DIR", str(mnist))
    assert load_dataset("mnist").test.images.shape == (5, 28, 28, 1)


def test_tfds_order_and_pixels_are_those_of_the_stock_reader(mnist):
    import tensorflow_datasets as tfds

    for _ in range(2):  # the second time with our cache file in the folder
        read = tfds_sources.read_set("mnist", mnist).splits
        for split in ("train", "test"):
            stock = tfds.data_source(
                "mnist", split=split, data_dir=str(mnist), download=False
            )
            images = np.stack([example["image"] for example in stock])
            np.testing.assert_array_equal(read[split].images, images)
            labels = [example["label"] for example in stock]
            np.testing.assert_array_equal(read[split].labels, labels)


def test_tfds_colour_options(tmp_path):
    splits = {"train": examples(COLOUR, label=np.zeros(20, int), id=list("abcde") * 4)}
    prepare.build_offline("cifar10", splits, tmp_path)
    read = load_dataset("cifar10", data_dir=tmp_path, test_fraction=0.2)
    assert same_rows(all_images(read), COLOUR)
    grey = load_dataset(
        "cifar10", data_dir=tmp_path, grayscale=True, image_size=(8, 16)
    )
    assert grey.image_shape == (8, 16, 1)
    assert load_dataset("cifar10", data_dir=tmp_path).image_shape == (32, 32, 3)


def test_tfds_binary_set_keeps_its_validation_split(tmp_path):
    bits = (GREY > 127).astype(np.uint8)
    splits = {"train": bits[:10], "validation": bits[10:14], "test": bits[14:]}
    prepare.build_offline(
        "binarized_mnist", {k: examples(v) for k, v in splits.items()}, tmp_path
    )
    dataset = load_dataset("binarized_mnist", data_dir=tmp_path)
    assert dataset.levels == "binary"
    assert dataset.train.labels is None
    for split, images in splits.items():
        assert same_rows(getattr(dataset, split).images, images * np.uint8(255))


def test_tfds_labels_that_are_factors(tmp_path, decoded):
    """From the set and from our cache; a name with a version is that of TFDS."""
    values = {"shape": 3, "scale": 6, "orientation": 40}
    values |= {"x_position": 32, "y_position": 32}
    whole = {"value_" + name: np.zeros(20, np.float32) for name in values}
    whole |= {
        "label_" + name: (np.arange(20) * 7 + i) % size
        for i, (name, size) in enumerate(values.items())
    }
    shapes = np.zeros((20, 64, 64, 1), np.uint8)
    shapes[np.arange(20), np.arange(20)] = 1
    prepare.build_offline("dsprites", {"train": examples(shapes, **whole)}, tmp_path)
    for _ in range(2):
        dataset = load_dataset("dsprites:2.0.0", data_dir=tmp_path)
        assert set(dataset.spec.factor_names) == set(values)
        assert dataset.levels == "binary"
        for split in dataset.splits.values():
            row = split.images[:, :, 0, 0].argmax(axis=1)
            for name, own in zip(dataset.factor_names, split.factors.T, strict=True):
                np.testing.assert_array_equal(own, whole["label_" + name][row])
    assert decoded == ["dsprites:2.0.0"]
    assert load_dataset("dsprites").train.labels is not None  # the set that is drawn


def test_tfds_images_of_unequal_size(tmp_path):
    pixels = [COLOUR[0], COLOUR[1, :20], COLOUR[2, :, :30]]
    flowers = [{"image": encoded(x), "label": 0} for x in pixels]
    prepare.build_offline("tf_flowers", {"train": enumerate(flowers)}, tmp_path)
    with pytest.raises(DataError, match="tf_flowers.*set data.image_size"):
        tfds_sources.read_set("tf_flowers", tmp_path)
    read = tfds_sources.read_set("tf_flowers", tmp_path, image_size=(16, 16))
    assert read.splits["train"].images.shape == (3, 16, 16, 3)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """One entry for each time a set is decoded."""
    calls: list[str] = []
    decode = tfds_sources._decode
    monkeypatch.setattr(
        tfds_sources,
        "_decode",
        lambda name, *rest: calls.append(name) or decode(name, *rest),
    )
    return calls


def test_cache_is_used_and_a_changed_set_is_not_served_from_it(mnist, decoded):
    first = load_dataset("mnist", data_dir=mnist)
    again = load_dataset("mnist", data_dir=mnist)
    assert decoded == ["mnist"]
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.train.labels, first.train.labels)
    load_dataset("mnist", data_dir=mnist, image_size=14)
    assert load_dataset("mnist", data_dir=mnist).image_shape == (28, 28, 1)
    assert len(decoded) == 2

    (folder,) = (mnist / "mnist").iterdir()
    cache = (folder / "vae_jax-full.npz").read_bytes()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    changed = {
        s: examples(255 - GREY, label=np.zeros(20, int)) for s in ("train", "test")
    }
    prepare.build_offline("mnist", changed, mnist)
    (folder / "vae_jax-full.npz").write_bytes(cache)
    new = load_dataset("mnist", data_dir=mnist)
    assert same_rows(new.test.images, 255 - GREY)
    assert len(decoded) == 3


@pytest.mark.parametrize("damage", ["flipped bit", "cut off", "no zip", "other arrays"])
def test_damaged_cache_is_made_anew(mnist, decoded, damage, caplog):
    first = load_dataset("mnist", data_dir=mnist)
    (cache,) = mnist.rglob("*.npz")
    content = cache.read_bytes()
    if damage == "flipped bit":
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 8])
        cache.write_bytes(content[:middle] + flipped + content[middle + 1 :])
    elif damage == "cut off":
        cache.write_bytes(content[: len(content) // 2])
    elif damage == "no zip":
        cache.write_bytes(b"\x80\x04garbage")
    else:
        np.savez(cache, a=np.zeros(3))
    assert load_dataset("mnist", data_dir=mnist).fingerprint == first.fingerprint
    assert "damaged" in caplog.text
    assert load_dataset("mnist", data_dir=mnist).fingerprint == first.fingerprint
    assert len(decoded) == 2


def test_cache_of_a_read_only_set_goes_to_the_user(
    mnist, decoded, user_cache, monkeypatch, caplog
):
    replacing = array_cache.replacing

    def refuse(path: pathlib.Path):
        if any(path.is_relative_to(folder) for folder in read_only):
            raise PermissionError(13, "Permission denied", str(path))
        return replacing(path)

    monkeypatch.setattr(array_cache, "replacing", refuse)
    read_only = [mnist, user_cache]
    first = load_dataset("mnist", data_dir=mnist)
    assert "images are not cached" in caplog.text
    read_only = [mnist]
    load_dataset("mnist", data_dir=mnist)
    assert len(list(user_cache.rglob("*.npz"))) == 1
    assert len(decoded) == 2
    assert load_dataset("mnist", data_dir=mnist).fingerprint == first.fingerprint
    assert len(decoded) == 2


def test_cache_write_leaves_nothing_half_done(mnist, monkeypatch):
    def fail(*args) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    load_dataset("mnist", data_dir=mnist)
    assert not list(mnist.rglob("vae_jax*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "Did you mean 'mnist'"),
        ("cifar-10", "Did you mean 'cifar10'"),
        ("npz", "Did you mean 'npz:PATH'"),
        ("/some/where/x.npz", "Did you mean 'npz:/some/where/x.npz'?"),
        ("tests", "Did you mean 'folder:tests'?"),
        ("iris", "no data set is called 'iris'. Valid are"),
        ("a\nb\x1b[31m", r"no data set is called 'a\nb\x1b[31m'"),
        ("digit", "Did you mean 'digits'"),
        ("", "no data set is called ''"),
        ("~nobody-has-this-name/pictures", "no data set is called '~nobody-has-this"),
        ("../mnist", "no data set is called"),
        (
            "qqqqqq",
            "Valid are digits, mnist_5k, dsprites, xysquares, npz:PATH",
        ),
        (
            "fashion_mnist",
            "has no such set; build it with `python -m vae_jax prepare_data"
            " --dataset=fashion_mnist --data_dir=",
        ),
        ("fashion_mnist", "` (downloads 31 MB, needs no TensorFlow)"),
        ("emnist/letters", "--dataset=emnist/letters --data_dir="),
        ("emnist/letters", "` (downloads 562 MB, needs no TensorFlow)"),
        ("cifar100", "` (needs TensorFlow, once)"),
    ],
)
def test_names_that_are_not_there(mnist, name, message):
    with pytest.raises(DataError) as error:
        load_dataset(name, data_dir=mnist)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_data_dir(tmp_path):
    with pytest.raises(DataError, match="mnist: the data directory .* does not exist"):
        load_dataset("mnist", data_dir=tmp_path / "none")
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    with pytest.raises(DataError, match="has no such set"):
        load_dataset("mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("mnist-test.array_record*", None, "is missing; delete"),
        ("mnist-test.array_record*", lambda b: b[: len(b) // 2], "is damaged"),
        ("mnist-test.array_record*", lambda b: b"", "is damaged"),
        ("dataset_info.json", lambda b: b[:100], "can't read the set"),
        (
            "dataset_info.json",
            lambda b: b.replace(b"array_record", b"tfrecord"),
            "is missing",
        ),
    ],
)
def test_damaged_sets(mnist, file, damage, message):
    (path,) = mnist.rglob(file)
    content = path.read_bytes()
    path.unlink()
    if damage:
        path.write_bytes(damage(content))
    with pytest.raises(DataError, match=message):
        load_dataset("mnist", data_dir=mnist)


def test_a_set_that_only_tensorflow_reads(mnist):
    for path in mnist.rglob("*array_record*"):
        path.rename(path.with_name(path.name.replace("array_record", "tfrecord")))
    (info,) = mnist.rglob("dataset_info.json")
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(DataError, match="format tfrecord, which only TensorFlow reads"):
        load_dataset("mnist", data_dir=mnist)


def test_sets_without_images_or_train_split(tmp_path):
    question = {"label-coarse": 0, "label-fine": 0, "text": "Why?"}
    prepare.build_offline("trec", {"train": enumerate([question] * 3)}, tmp_path)
    with pytest.raises(DataError, match="trec: not a set of .* images.*text: Text"):
        load_dataset("trec", data_dir=tmp_path)
    test_only = {"test": examples(GREY, label=np.zeros(20, int))}
    prepare.build_offline("mnist", test_only, tmp_path)
    with pytest.raises(DataError, match="mnist: no train split; it has test"):
        load_dataset("mnist", data_dir=tmp_path)
