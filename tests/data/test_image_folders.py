"""Image files and folders of them: pixels, classes, splits, and what is skipped."""

import io
import os
import pathlib
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vae_jax.data import image_files, image_folders
from vae_jax.data.dataset import describe
from vae_jax.data.sources import load_dataset
from vae_jax.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (28, 28), np.uint8)
COLOUR = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)


def encoded(pixels: np.ndarray, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.squeeze(pixels)).save(file, format, **options)
    return file.getvalue()


def image_of(mode: str, size: tuple[int, int] = (8, 8), format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, format)
    return file.getvalue()


def opened(data: bytes) -> np.ndarray:
    return np.asarray(image_files.open_image(io.BytesIO(data), "it")[0])


def write(root: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


# --- One file ---------------------------------------------------------------------


def test_modes_that_are_understood():
    colour = COLOUR[0]
    opaque = np.concatenate([colour, np.full((32, 32, 1), 255, np.uint8)], axis=2)
    palette = io.BytesIO()
    Image.fromarray(GREY).convert("P").save(palette, "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6  # show it turned by 90 degrees clockwise
    for data, expected in [
        (encoded(GREY), GREY),
        (encoded(colour), colour),
        (encoded(opaque), colour),
        (palette.getvalue(), np.stack([GREY] * 3, axis=2)),
        (encoded(GREY > 127), (GREY > 127) * 255),
        (encoded(colour, exif=turned), np.rot90(colour, -1)),
        (encoded(GREY, "BMP"), GREY),
        (encoded(colour, "BMP"), colour),
        (encoded(GREY, "TIFF"), GREY),
        (encoded(colour, "TIFF", compression="tiff_lzw"), colour),
        (encoded(opaque, "TIFF"), colour),
        (encoded(colour, "WEBP", lossless=True), colour),
    ]:
        np.testing.assert_array_equal(opened(data), expected)


def test_fit_cuts_the_centre_and_keeps_pixels_of_the_right_size():
    wide = np.concatenate([GREY.T, GREY, GREY.T], axis=1)
    cut = image_files.fit(Image.fromarray(wide), (28, 28), False)
    np.testing.assert_array_equal(cut[..., 0], GREY)
    luma = image_files.fit(Image.fromarray(COLOUR[0]), None, True)[..., 0]
    assert np.abs(luma - COLOUR[0] @ [0.299, 0.587, 0.114]).max() < 1


@pytest.mark.parametrize(
    ("width", "height", "image_size", "share"),
    [
        (84, 28, (14, 14), 2 / 3),  # two of three squares
        (28, 84, (14, 14), 2 / 3),
        (80, 40, (20, 40), 0.0),
        (80, 80, (20, 40), 0.5),
        (80, 20, None, 0.0),
    ],
)
def test_share_that_is_cut_off(width, height, image_size, share):
    found = image_files.share_left_out(width, height, image_size)
    assert found == pytest.approx(share)


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


def sixteen_bit_rgb_tiff() -> bytes:
    """2x1 pixels; Pillow can read such a file, as 8 bits, and not write it."""
    entries = [
        *[(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 3, 134), (259, 3, 1, 1)],
        *[(262, 3, 1, 2), (273, 4, 1, 140), (277, 3, 1, 3), (278, 3, 1, 1)],
        (279, 4, 1, 12),
    ]
    ifd = struct.pack("<H", len(entries))
    ifd += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    data = b"II*\0" + struct.pack("<I", 8) + ifd + bytes(4)
    data = data.ljust(134, b"\0") + struct.pack("<HHH", 16, 16, 16)
    return data + struct.pack("<6H", *range(6))


BAD_FILES = {
    "it: damaged image": encoded(COLOUR[0])[:1000],
    "it: not a PNG or JPEG image, nor WebP, BMP or TIFF": image_of("RGB", format="GIF"),
    "nor WebP": b"",
    "it: has transparent pixels, and image files are read as grey or RGB": image_of(
        "RGBA"
    ),
    "it: has transparent pixels": image_of("LA"),
    "transparent": image_of("RGBA", format="WEBP"),
    "it: 16 bits a channel; convert": image_of("I;16"),
    "16 bits a channel": image_of("I;16", format="TIFF"),
    "16 bits": sixteen_bit_rgb_tiff(),
    "it: 32 bits a channel": image_of("F", format="TIFF"),
    "it: colour mode CMYK": image_of("CMYK", format="JPEG"),
    "mode CMYK": image_of("CMYK", format="TIFF"),
    "it: colour mode LAB": image_of("LAB", format="TIFF"),
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_files_that_are_refused(message):
    with pytest.raises(DataError) as error:
        opened(BAD_FILES[message])
    assert message in str(error.value)


def test_an_image_that_unpacks_to_too_many_pixels_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(image_files, "MAX_PIXELS", 63)
    header = image_of("L")[:60]  # no pixels at all: only the header may be read
    with pytest.raises(DataError, match="it: 8 x 8 pixels; the limit is 63 in all"):
        opened(header)


def test_a_large_file_is_refused_unread(tmp_path):
    """3 GB, nothing of which is on the disk."""
    path = tmp_path / "a.png"
    path.write_bytes(image_of("L"))
    os.truncate(path, 3_000_000_000)
    with pytest.raises(
        DataError, match="a.png: 3,000,000,000 bytes; an image file may"
    ):
        image_files.read_image(path)


# --- Folders ----------------------------------------------------------------------


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
        " validation 1, test 1; cut to height:width 8:32 in the centre, up to 75% of an"
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


def test_a_png_with_a_huge_comment_is_bounded(tmp_path):
    """A chunk that says it has 2 GB is an error, not memory."""
    data = image_of("L")
    body = b"tEXt" + b"a\0b"
    chunk = struct.pack(">I", 2**31 - 1) + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(DataError, match="it: damaged image"):
        opened(data[:33] + chunk + data[33:])
