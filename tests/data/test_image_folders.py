"""Folders of image files: classes, splits, links, and what is skipped."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from tests.data.image_bytes import COLOUR, GREY, encoded, image_of
from vae_jax.data import image_files, image_folders
from vae_jax.data.description import describe
from vae_jax.data.sources import load_dataset
from vae_jax.errors import DataError


def write(root: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_first_of_several_images(tmp_path):
    first, *rest = (Image.fromarray(image) for image in COLOUR[:3])
    for name, options in {
        "a.tiff": {},
        "a.webp": {"lossless": True},
        "a.png": {},
    }.items():
        first.save(tmp_path / name, save_all=True, append_images=rest, **options)
        read = image_files.read_image(tmp_path / name)
        np.testing.assert_array_equal(read.pixels, COLOUR[0])
        assert read.num_frames == 3
    (note,) = image_folders.read_images(tmp_path).notes
    assert note == "3 files hold several images, of which the first is read"


def test_folder_of_105x105_resized(tmp_path):
    for i in range(10):  # left half black, right half white
        pixels = np.zeros((105, 105), np.uint8)
        pixels[:, 53:] = 255
        (tmp_path / f"{i}.png").write_bytes(encoded(pixels))
    dataset = load_dataset(f"folder:{tmp_path}", image_size=28)
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.train.labels is None
    assert dataset.class_names is None
    image = dataset.train.images[0, ..., 0]
    assert (image[:, :13] == 0).all() and (image[:, 15:] == 255).all()
    assert (image == image[0]).all()
    assert dataset.notes == ()  # nothing is cut off


def test_folder_of_colour_classes(tmp_path):
    for i, pixels in enumerate(COLOUR):
        name = f"{'bca'[i % 3]}/deeper/{i:02}.PNG"
        write(tmp_path, {name: encoded(pixels)})
    read = image_folders.read_folder(str(tmp_path))
    order = [i for start in (2, 0, 1) for i in range(start, 12, 3)]  # a, b, c
    train = read.splits["train"]
    np.testing.assert_array_equal(train.images, COLOUR[order])
    np.testing.assert_array_equal(train.labels, np.repeat([0, 1, 2], 4))
    assert read.class_names == ("a", "b", "c")
    dataset = load_dataset(f"folder:{tmp_path}", grayscale=True, image_size=(8, 32))
    assert dataset.image_shape == (8, 32, 1)
    assert describe(dataset) == (
        f"folder:{tmp_path}: 12 images 8x32x1 in 3 classes (a, b, c): train 10,"
        " validation 1, test 1; cut to 8x32 in the centre, up to 75% of an"
        " image is left out"
    )
    for split in (dataset.train, dataset.test):  # every row names its file and class
        for file, label in zip(split.files, split.labels, strict=True):
            assert dataset.class_names[label] == file[0]
            assert (tmp_path / file).is_file()
        np.testing.assert_array_equal(train.files[split.rows], split.files)


def test_grey_and_colour_files_together_become_rgb(tmp_path):
    grey = encoded(GREY)
    write(tmp_path, {"a.png": grey, "b.png": encoded(np.stack([GREY] * 3, axis=2))})
    pixels = image_folders.read_images(tmp_path).pixels
    np.testing.assert_array_equal(pixels[0], pixels[1])


def test_what_is_skipped_is_counted(tmp_path):
    image = image_of("L")
    files = {"a.png": image, "b.txt": b"", "c.txt": b"", "d.gif": b"", "README": b""}
    write(tmp_path, {**files, ".DS_Store": b"", "._a.png": image, ".git/x.png": image})
    (tmp_path / "gone.png").symlink_to("nowhere")
    read = image_folders.read_images(tmp_path)
    assert [path.as_posix() for path in read.paths] == ["a.png"]
    assert read.notes == (
        "7 files skipped: 2 .txt, 2 hidden, 1 .gif, 1 broken links or devices, 1"
        " without suffix",
        "1 folder skipped: 1 hidden",
    )
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"no image below .*\.tiff\); 7 files skipped"):
        image_folders.read_images(tmp_path)


def test_linked_folders_are_read_once(tmp_path):
    """Under their real name, if they have one here; a loop ends."""
    outside = write(tmp_path / "outside", {"1.png": image_of("L")})
    root = write(tmp_path / "root", {"z_real/2.png": image_of("L")})
    (root / "cat").symlink_to(outside)
    (root / "again").symlink_to(root / "z_real")
    (root / "z_real" / "loop").symlink_to(root)
    (root / "z_real" / "3.png").symlink_to(outside / "1.png")  # a link to a file
    read = image_folders.read_folder(str(root))
    files = read.splits["train"].files
    assert list(files) == ["cat/1.png", "z_real/2.png", "z_real/3.png"]
    assert read.class_names == ("cat", "z_real")
    assert read.notes == ("2 folders skipped: 2 linked twice",)
    (tmp_path / "link").symlink_to(root)
    through_link = image_folders.read_folder(str(tmp_path / "link"))
    np.testing.assert_array_equal(through_link.splits["train"].files, files)


def test_folders_of_splits(tmp_path):
    """Labels are numbered over all splits; a missing split is drawn from train."""
    names = ["Train/cat/1.png", "Train/cat/2.png", "Train/dog/1.png", "Train/dog/2.png"]
    names += ["val/dog/1.png", "test/ant/1.png", "test/dog/1.png"]
    files = {name: encoded(COLOUR[i]) for i, name in enumerate(names)}
    dataset = load_dataset(f"folder:{write(tmp_path / 'a', files)}")
    assert dataset.class_names == ("ant", "cat", "dog")
    order = {"train": names[:4], "validation": names[4:5], "test": names[5:]}
    for split, own in order.items():
        read = getattr(dataset, split)
        assert list(read.files) == own
        expected = [dataset.class_names.index(name.split("/")[1]) for name in own]
        np.testing.assert_array_equal(read.labels, expected)
        expected = [COLOUR[names.index(name)] for name in own]
        np.testing.assert_array_equal(read.images, expected)

    flat = {
        f"{split}/{i}.png": image_of("L") for split in ("train", "test") for i in "ab"
    }
    dataset = load_dataset(
        f"folder:{write(tmp_path / 'b', flat)}", validation_fraction=0.5
    )
    assert dataset.train.labels is None
    assert dataset.class_names is None
    assert sorted([*dataset.train.files, *dataset.validation.files]) == [
        "train/a.png",
        "train/b.png",
    ]
    assert list(dataset.test.files) == ["test/a.png", "test/b.png"]


L = image_of("L")
BAD_FOLDERS = {
    "there is no folder": {},
    "no image below": {"a.txt": b""},
    "set data.image_size": {"a.png": L, "b.png": image_of("L", (8, 9))},
    "a.png lies beside the class folders": {"a.png": L, "c/b.png": L},
    "a.png: damaged image": {"a.png": encoded(COLOUR[0])[:1000]},
    "b.png: not a PNG or JPEG": {"a.png": L, "b.png": b""},
    "train is the name of a split, but cats beside it is not": {
        "train/a.png": L,
        "cats/a.png": L,
    },
    "Test is the name of a split, but a.png beside": {"Test/a.png": L, "a.png": L},
    "val and valid both are the validation split": {
        "train/a.png": L,
        "val/a.png": L,
        "valid/a.png": L,
    },
    "no images in train, only in test": {"test/a.png": L, "train/a.txt": b""},
    "test/a.png lies beside the class folders of": {
        "train/c/a.png": L,
        "test/a.png": L,
        "test/c/a.png": L,
    },
    r"a\n\x1b[31m.png: damaged image": {"a\n\x1b[31m.png": encoded(COLOUR[0])[:1000]},
}


@pytest.mark.parametrize("message", BAD_FOLDERS)
def test_bad_folders(tmp_path, message):
    folder = write(tmp_path / "set", BAD_FOLDERS[message])
    with pytest.raises(DataError) as error:
        load_dataset(f"folder:{folder}")
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
