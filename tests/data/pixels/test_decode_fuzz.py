"""Thousands of damaged pictures: each becomes a picture of the right mode, or a reason of one line."""

import io
import random

import numpy as np
import pytest
from PIL import Image

from facegan.data.pixels.crops import parse_crop
from facegan.data.pixels.decode import decode, quiet_pillow
from facegan.errors import DataError

NUM_INPUTS = 200  # of each kind, for each number of channels


def pixels(mode, size=(40, 36)):
    """Half noise, half flat, so that coders use more than one of their ways."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    values[:, : size[0] // 2] = 90
    return Image.merge(mode, [Image.fromarray(values[:, :, band]) for band in range(bands)])


SIDEWAYS = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
KINDS = {
    "JPEG": ("RGB", "JPEG", {"quality": 90}),
    "JPEG progressive": ("RGB", "JPEG", {"quality": 50, "progressive": True, "subsampling": 0}),
    "JPEG grey": ("L", "JPEG", {}),
    "JPEG CMYK": ("CMYK", "JPEG", {}),
    "JPEG with EXIF": (
        "RGB",
        "JPEG",
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"},
    ),
    "PNG": ("RGB", "PNG", {}),
    "PNG transparent": ("RGBA", "PNG", {}),
    "WebP": ("RGB", "WEBP", {"quality": 80}),
    "WebP lossless": ("RGBA", "WEBP", {"lossless": True}),
    "BMP": ("RGB", "BMP", {}),
    "TIFF": ("RGB", "TIFF", {}),
    "TIFF LZW": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "TIFF JPEG": ("RGB", "TIFF", {"compression": "jpeg"}),
    "GIF": ("L", "GIF", {}),
}


def whole(kind):
    mode, format, options = KINDS[kind]
    file = io.BytesIO()
    pixels(mode).save(file, format, **options)
    return file.getvalue()


def mutated(content, dice):
    """One of the ways in which files break: bits, bytes, cuts, holes, repeats, absurd numbers, foreign ends."""
    content = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 5, 20])):
        # Headers decide most, and stand at the beginning.
        place = dice.randrange(len(content)) if dice.random() < 0.5 else dice.randrange(min(len(content), 200))
        match dice.randrange(8):
            case 0:
                content[place] ^= 1 << dice.randrange(8)
            case 1:
                content[place] = dice.choice([0, 1, 127, 128, 255])
            case 2:
                content[place : place + 4] = dice.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\xff\xff"])
            case 3:
                del content[place : place + dice.randrange(1, 50)]
            case 4:
                content[place:place] = dice.randbytes(dice.randrange(1, 50))
            case 5:
                content[place:place] = content[place : place + dice.randrange(1, 200)]
            case 6:
                content[place : place + 40] = dice.randbytes(40)
            case 7:
                del content[max(1, place) :]
        if not content:
            break
    return bytes(content)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_picture_ends_in_a_picture_or_in_one_line(kind, channels, capfd):
    sound = whole(kind)
    dice = random.Random(f"{kind} {channels}")
    crop = parse_crop("auto")
    outcomes = {"picture": 0, "reason": 0}
    with quiet_pillow():
        for _ in range(NUM_INPUTS):
            content = mutated(sound, dice)
            try:
                image = decode(content, channels)
                assert image.mode == ("RGB" if channels == 3 else "L")
                assert crop.apply(image, 16).size == (16, 16)
                outcomes["picture"] += 1
            except DataError as error:
                reason = str(error)
                assert reason.strip() and reason.isprintable() and len(reason) < 250
                outcomes["reason"] += 1
    assert min(outcomes.values()) > 0  # damage shows, and not all of it is fatal
    said = capfd.readouterr()
    # libtiff itself, which decodes compressed TIFFs, writes to the process's stderr, and Pillow cannot keep it quiet.
    assert said.out == "" and (said.err == "" or kind in ("TIFF LZW", "TIFF JPEG"))
    assert "Warning" not in said.err and "Traceback" not in said.err


@pytest.mark.parametrize("kind", KINDS)
def test_sound_picture_is_decoded(kind):
    assert decode(whole(kind), 3).size == ((36, 40) if kind == "JPEG with EXIF" else (40, 36))


def test_noise_behind_any_beginning_ends_in_one_line(capfd):
    dice = random.Random(0)
    beginnings = [whole(kind)[: dice.randrange(2, 30)] for kind in KINDS] + [b""]
    with quiet_pillow():
        for _ in range(30):
            for beginning in beginnings:
                try:
                    assert decode(beginning + dice.randbytes(dice.randrange(400)), 3).mode == "RGB"
                except DataError as error:
                    assert str(error).strip() and str(error).isprintable()
    assert capfd.readouterr() == ("", "")
