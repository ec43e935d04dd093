"""Images from every source arrive with the right pixels, or with a clear error."""

import dataclasses
import io
import os
import pathlib
import zlib

import numpy as np
import pytest
from PIL import Image

from vae_jax.data import array_cache, image_files, prepare, tfds_sources
from vae_jax.data.sources import Dataset, Split, load_dataset
from vae_jax.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 28, 28, 1), np.uint8)
COLOUR = RNG.integers(0, 256, (20, 32, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory, monkeypatch) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("user_cache")
    monkeypatch.setenv("VAE_JAX_CACHE", str(folder))
    return folder


def png(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.squeeze(pixels)).save(file, "PNG", **options)
    return file.getvalue()


def all_images(dataset: Dataset) -> np.ndarray:
    splits = (dataset.train, dataset.validation, dataset.test)
    return np.concatenate([split.images for split in splits])


def same_rows(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal as multisets of images."""
    return sorted(x.tobytes() for x in a) == sorted(x.tobytes() for x in b)


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


# --- digits and npz ---------------------------------------------------------------


def test_digits():
    from sklearn.datasets import load_digits

    dataset = load_dataset("digits")
    assert dataset.image_shape == (8, 8, 1)
    assert dataset.levels == "8bit"
    assert dataset.train.images.max() == 255
    expected = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert same_rows(all_images(dataset), expected)
    assert set(dataset.train.labels) == set(range(10))


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
    assert dataset.train.labels.dtype == np.int32
    assert dataset.test.labels is None


X = GREY[..., 0]
BAD_NPZ = {
    "no x_train; it has train_images": dict(train_images=X),
    "x_train has shape (20, 28)": dict(x_train=X[:, :, 0]),
    "x_train has shape (20, 28, 28, 5)": dict(x_train=np.zeros((20, 28, 28, 5))),
    "x_train has shape ()": dict(x_train=np.array(1.0)),
    "x_train is empty": dict(x_train=X[:0]),
    "x_test is empty": dict(x_train=X, x_test=X[:0]),
    "x_train has dtype int64": dict(x_train=X.astype(np.int64)),
    "from nan to nan": dict(x_train=np.where(X > 3, X / 255, np.nan)),
    "from 0 to 255; floats must lie in [0, 1]": dict(x_train=X.astype(np.float32)),
    "from -1 to 1": dict(x_train=np.sign(X / 255 - 0.5)),
    "can't be read (Object arrays cannot be loaded": dict(x_train=np.array([None])),
    "y_train is int64 of shape (19,)": dict(x_train=X, y_train=np.arange(19)),
    "y_train is float64": dict(x_train=X, y_train=np.zeros(20)),
    "y_test without x_test": dict(x_train=X, y_test=np.arange(20)),
    "x_test has uint8 images of shape (14, 28, 1)": dict(x_train=X, x_test=X[:, ::2]),
    "x_test has float64 images": dict(x_train=X, x_test=X / 255),
}


@pytest.mark.parametrize("message", BAD_NPZ)
def test_bad_npz(tmp_path, message):
    np.savez(tmp_path / "a.npz", **BAD_NPZ[message])
    with pytest.raises(DataError) as error:
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    assert message.removeprefix("no ") in str(error.value)
    assert str(tmp_path / "a.npz") in str(error.value)
    assert "\n" not in str(error.value)


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
        (dict(image_size=0), "data.image_size is 0"),
        (dict(image_size=(8, -1)), "data.image_size is"),
        (dict(image_size=(8, 8, 1)), "data.image_size is"),
        (dict(image_size=8.0), "data.image_size is 8.0"),
        (dict(image_size="8"), "data.image_size is '8'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        load_dataset("digits", **options)


# --- Folders ----------------------------------------------------------------------


def test_folder_of_105x105_resized(tmp_path):
    for i in range(10):  # left half black, right half white
        pixels = np.zeros((105, 105), np.uint8)
        pixels[:, 53:] = 255
        (tmp_path / f"{i}.png").write_bytes(png(pixels))
    dataset = load_dataset(f"folder:{tmp_path}", image_size=28)
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.train.labels is None
    image = dataset.train.images[0, ..., 0]
    assert (image[:, :13] == 0).all() and (image[:, 15:] == 255).all()
    assert (image == image[0]).all()


def test_folder_of_colour_classes(tmp_path):
    images = RNG.integers(0, 256, (12, 64, 64, 3), np.uint8)
    for i, pixels in enumerate(images):
        folder = tmp_path / "bca"[i % 3] / "deeper"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:02}.PNG").write_bytes(png(pixels))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.png").write_bytes(b"")
    read = image_files.read_folder(str(tmp_path))
    order = [i for start in (2, 0, 1) for i in range(start, 12, 3)]  # a, b, c
    np.testing.assert_array_equal(read.images, images[order])
    np.testing.assert_array_equal(read.labels, np.repeat([0, 1, 2], 4))
    dataset = load_dataset(f"folder:{tmp_path}", grayscale=True, image_size=(16, 32))
    assert dataset.image_shape == (16, 32, 1)


def test_fit_cuts_the_centre_and_keeps_pixels_of_the_right_size():
    wide = np.concatenate([GREY[0], GREY[1], GREY[2]], axis=1)[..., 0]
    cut = image_files.fit(Image.fromarray(wide), (28, 28), False)
    np.testing.assert_array_equal(cut, GREY[1])
    luma = image_files.fit(Image.fromarray(COLOUR[0]), None, True)[..., 0]
    assert np.abs(luma - COLOUR[0] @ [0.299, 0.587, 0.114]).max() < 1


def test_modes_that_are_understood(tmp_path):
    grey, colour = GREY[0, ..., 0], COLOUR[0]
    opaque = np.concatenate([colour, np.full((32, 32, 1), 255, np.uint8)], axis=2)
    palette = io.BytesIO()
    Image.fromarray(grey).convert("P").save(palette, "PNG")
    bits = io.BytesIO()
    Image.fromarray(grey > 127).save(bits, "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6  # show it turned by 90 degrees clockwise
    for data, expected in [
        (png(grey), grey),
        (png(colour), colour),
        (png(opaque), colour),
        (palette.getvalue(), np.stack([grey] * 3, axis=2)),
        (bits.getvalue(), (grey > 127) * 255),
        (png(colour, exif=turned), np.rot90(colour, -1)),
    ]:
        opened = np.asarray(image_files.open_image(data, "it"))
        np.testing.assert_array_equal(opened, expected)
    (tmp_path / "a.png").write_bytes(png(grey))
    (tmp_path / "b.png").write_bytes(png(np.stack([grey] * 3, axis=2)))
    mixed = image_files.read_folder(str(tmp_path)).images
    np.testing.assert_array_equal(mixed[0], mixed[1])


def image_of(mode: str, size: tuple[int, int] = (8, 8), format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, format)
    return file.getvalue()


BAD_FOLDERS = {
    "there is no folder": None,
    "no image below": {"a.txt": b""},
    "set data.image_size": {"a.png": image_of("L"), "b.png": image_of("L", (8, 9))},
    "lies beside the class folders": {"a.png": image_of("L"), "c/b.png": image_of("L")},
    "a.png: damaged image": {"a.png": png(COLOUR[0])[:1000]},
    "a.png: not a PNG or JPEG": {"a.png": image_of("RGB", format="BMP")},
    "b.png: not a PNG or JPEG": {"a.png": image_of("L"), "b.png": b""},
    "a.png: has transparent pixels": {"a.png": image_of("RGBA")},
    "b.png: has transparent pixels": {"b.png": image_of("LA")},
    "a.png: 16 bits a channel": {"a.png": image_of("I;16")},
    "a.jpg: colour mode CMYK": {"a.jpg": image_of("CMYK", format="JPEG")},
}


@pytest.mark.parametrize("message", BAD_FOLDERS)
def test_bad_folders(tmp_path, message):
    files = BAD_FOLDERS[message]
    for name, content in (files or {}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    folder = tmp_path if files else tmp_path / "none"
    with pytest.raises(DataError) as error:
        load_dataset(f"folder:{folder}")
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_an_image_that_unpacks_to_too_many_pixels_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(image_files, "MAX_PIXELS", 63)
    header = image_of("L")[:60]  # no pixels at all: only the header may be read
    with pytest.raises(DataError, match="it: 8 x 8 pixels; the limit is 63 in all"):
        image_files.open_image(header, "it")


# --- TFDS -------------------------------------------------------------------------


def examples(images: np.ndarray, **features) -> list[tuple[int, dict]]:
    return [
        (i, {"image": png(image)} | {k: v[i] for k, v in features.items()})
        for i, image in enumerate(images)
    ]


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
        read = tfds_sources.read_set("mnist", mnist)
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


def test_tfds_images_of_unequal_size(tmp_path):
    pixels = [COLOUR[0], COLOUR[1, :20], COLOUR[2, :, :30]]
    flowers = [{"image": png(x), "label": 0} for x in pixels]
    prepare.build_offline("tf_flowers", {"train": enumerate(flowers)}, tmp_path)
    with pytest.raises(DataError, match="tf_flowers.*set data.image_size"):
        tfds_sources.read_set("tf_flowers", tmp_path)
    read = tfds_sources.read_set("tf_flowers", tmp_path, image_size=(16, 16))
    assert read["train"].images.shape == (3, 16, 16, 3)


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
    write = array_cache._write_atomically

    def refuse(path: pathlib.Path, arrays) -> None:
        if any(path.is_relative_to(folder) for folder in read_only):
            raise PermissionError(13, "Permission denied", str(path))
        write(path, arrays)

    monkeypatch.setattr(array_cache, "_write_atomically", refuse)
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
        ("digit", "Did you mean 'digits'"),
        ("", "no data set is called ''"),
        ("../mnist", "no data set is called"),
        ("qqqqqq", "Valid are digits, mnist_5k, npz:PATH, folder:PATH"),
        (
            "fashion_mnist",
            "has no such set; build it with `python -m experiments.prepare_data"
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
