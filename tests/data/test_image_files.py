"""One image file: its pixels, or why it is refused."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.data.image_bytes import COLOUR, GREY, encoded, image_of
from vae_jax.data import image_files
from vae_jax.errors import DataError


def opened(data: bytes) -> np.ndarray:
    return np.asarray(image_files.open_image(io.BytesIO(data), "it")[0])


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
        # A grey that is transparent, and that no pixel has.
        (encoded(GREY | 1, transparency=0), GREY | 1),
        (encoded(np.ones_like(GREY) > 0, transparency=0), np.full_like(GREY, 255)),
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


def test_an_image_that_pillow_itself_refuses(monkeypatch):
    """From twice as many pixels as it would warn of."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 31)
    with pytest.raises(DataError, match="it: more than 50,000,000 pixels") as error:
        opened(image_of("L"))
    assert "damaged" not in str(error.value)


def test_a_large_file_is_refused_unread(tmp_path):
    """3 GB, nothing of which is on the disk."""
    path = tmp_path / "a.png"
    path.write_bytes(image_of("L"))
    os.truncate(path, 3_000_000_000)
    with pytest.raises(
        DataError, match="a.png: 3,000,000,000 bytes; an image file may"
    ):
        image_files.read_image(path)


def test_a_png_with_a_huge_comment_is_bounded(tmp_path):
    """A chunk that says it has 2 GB is an error, not memory."""
    data = image_of("L")
    body = b"tEXt" + b"a\0b"
    chunk = struct.pack(">I", 2**31 - 1) + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(DataError, match="it: damaged image"):
        opened(data[:33] + chunk + data[33:])
