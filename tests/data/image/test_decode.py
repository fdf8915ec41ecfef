import random
import struct

import numpy as np
import pytest
from PIL import Image

from facegan.errors import DataError
from facegan.images import decode as decode_module
from facegan.images.decode import decode, quiet_pillow, to_channels

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def grey_of(r, g, b):
    """ITU-R 601-2 luma, rounded."""
    return round(0.299 * r + 0.587 * g + 0.114 * b)


def pixels(image):
    array = np.asarray(image)
    return [tuple(int(v) for v in np.atleast_1d(pixel)) for row in array for pixel in row]


def from_values(values, mode):
    """A one-row image of these pixels."""
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


def palette(transparency=None):
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


CASES = {
    "RGB": (from_values([RED, (10, 20, 30)], "RGB"), "PNG", [RED, (10, 20, 30)]),
    "L": (from_values([0, 77, 255], "L"), "PNG", [BLACK, (77, 77, 77), WHITE]),
    "1": (from_values([0, 255], "1"), "PNG", [BLACK, WHITE]),
    "P": (palette(), "PNG", [RED, GREEN, BLUE]),
    "P with one transparent colour": (palette(1), "PNG", [RED, WHITE, BLUE]),
    "P with alpha for each colour": (palette(bytes([255, 0, 51])), "PNG", [RED, WHITE, (204, 204, 255)]),
    "RGBA": (
        from_values([(255, 0, 0, 255), (255, 0, 0, 0), (0, 100, 200, 51)], "RGBA"),
        "PNG",
        [RED, WHITE, (204, 224, 244)],
    ),
    "LA": (from_values([(100, 255), (100, 0), (0, 51)], "LA"), "PNG", [(100, 100, 100), WHITE, (204, 204, 204)]),
    "CMYK in a TIFF": (
        from_values([(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255)], "CMYK"),
        "TIFF",
        [WHITE, (0, 255, 255), RED, BLACK],
    ),
    "I;16": (
        Image.fromarray(np.array([[0, 128, 129, 25700, 65407, 65535]], dtype=np.uint16)),
        "PNG",
        [(v, v, v) for v in (0, 0, 1, 100, 255, 255)],
    ),
    "I;16 big-endian": (
        Image.fromarray(np.array([[0, 25700, 65535]], dtype=np.uint16)),
        "TIFF big-endian",
        [(v, v, v) for v in (0, 100, 255)],
    ),
    "I": (
        Image.fromarray(np.array([[0, 25700, 65535]], dtype=np.int32)),
        "TIFF",
        [(v, v, v) for v in (0, 100, 255)],
    ),
    "F from 0 to 1": (
        Image.fromarray(np.array([[0, 0.5, 0.2, 1]], dtype=np.float32)),
        "TIFF",
        [(v, v, v) for v in (0, 128, 51, 255)],
    ),
    "F from 0 to 255": (
        Image.fromarray(np.array([[0, 100.4, 2, 255]], dtype=np.float32)),
        "TIFF",
        [(v, v, v) for v in (0, 100, 2, 255)],
    ),
}


def file_of(image, format, encode):
    if format != "TIFF big-endian":
        return encode(image, format)
    values = np.asarray(image)
    return tiff(values, values.astype(">u2").tobytes(), bits=16, zero_is_black=1)


def tiff(values, content, *, bits, zero_is_black, order=">"):
    tags = [(256, values.shape[1]), (257, 1), (258, bits), (259, 1), (262, zero_is_black), (273, 200), (277, 1)]
    tags += [(278, 1), (279, len(content))]
    directory = b"".join(struct.pack(f"{order}HHIHxx", tag, 3, 1, value) for tag, value in tags)
    mark = b"MM\x00*" if order == ">" else b"II*\x00"
    header = mark + struct.pack(f"{order}IH", 8, len(tags)) + directory + bytes(4)
    return header.ljust(200, b"\0") + content


def test_tiff_whose_zero_is_white_is_no_negative():
    values = np.array([[0, 25700, 65535]], np.uint16)
    content = tiff(values, values.astype("<u2").tobytes(), bits=16, zero_is_black=0, order="<")
    assert pixels(decode(content, 1)) == [(255,), (155,), (0,)]
    assert pixels(decode(content, 1, reading=1)) == [(0,), (100,), (255,)]  # as runs of earlier versions read it
    values = np.array([[0, 100, 255]], np.uint8)
    assert pixels(decode(tiff(values, values.tobytes(), bits=8, zero_is_black=0), 1)) == [(255,), (155,), (0,)]


def test_tiff_of_12_bits_uses_the_full_range():
    values = np.array([[0, 4095]], np.uint16)
    assert pixels(decode(tiff(values, b"\x00\x0f\xff", bits=12, zero_is_black=1, order="<"), 1)) == [(0,), (255,)]


def test_grey_marked_transparent_in_a_png_of_16_bits_becomes_white(encode):
    image = Image.fromarray(np.array([[0, 25700, 65535]], np.uint16))
    assert pixels(decode(encode(image, "PNG", transparency=0), 1)) == [(255,), (100,), (255,)]


@pytest.mark.parametrize("mode, expected", [("1", [0, 255]), ("L", [7, 200]), ("I;16", [0, 255])])
def test_pnm_files_are_read(mode, expected, encode):
    values = np.array([[0, 65535]], np.uint16) if mode == "I;16" else np.array([expected], np.uint8)
    image = Image.fromarray(values)
    assert pixels(decode(encode(image.convert("1") if mode == "1" else image, "PPM"), 1)) == [(v,) for v in expected]


def test_gif_is_read_by_its_first_frame(encode):
    content = encode(
        Image.new("RGB", (4, 4), RED), "GIF", save_all=True, append_images=[Image.new("RGB", (4, 4), BLUE)]
    )
    assert set(pixels(decode(content, 3))) == {RED}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("channels", [3, 1])
def test_every_mode_becomes_the_exact_pixels(case, channels, encode):
    image, format, expected = CASES[case]
    decoded = decode(file_of(image, format, encode), channels)
    assert decoded.mode == ("RGB" if channels == 3 else "L")
    assert pixels(decoded) == (expected if channels == 3 else [(grey_of(*pixel),) for pixel in expected])


def test_one_colour_marked_transparent_in_a_colour_image_becomes_white(encode):
    content = encode(from_values([RED, (1, 2, 3)], "RGB"), "PNG", transparency=(1, 2, 3))
    assert pixels(decode(content, 3)) == [RED, WHITE]


def test_cmyk_jpeg_is_not_inverted(encode):
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # full magenta and yellow: red
    r, g, b = pixels(decode(encode(flat, "JPEG", quality=100), 3))[0]
    assert r > 250 and g < 5 and b < 5


def test_ycck_jpeg_is_read_by_the_formula(encode):
    """A white CMYK JPEG, stored as 255 255 255 255 and relabelled YCCK: Y, Cb, Cr = 255 turn into R, G, B by JFIF."""
    content = encode(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG", quality=100)
    transform = content.index(b"Adobe") + 11
    content = content[:transform] + b"\x02" + content[transform + 1 :]
    # R = 255 + 1.402 * 127 and B = 255 + 1.772 * 127 saturate; G = 255 - (0.344136 + 0.714136) * 127 = 120.6.
    # C, M, Y = 255 - (R, G, B) = (0, 134, 0); Adobe stores the inverse, (255, 121, 255), with K = 0.
    assert set(pixels(decode(content, 3))) == {(0, 134, 0)}


TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_image_is_turned_upright_once(format, noise, encode):
    image = noise(1, (5, 3))
    options = {"lossless": True} if format == "WEBP" else {}
    for orientation, turned in TURNS.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encode(image, format, exif=exif, **options)
        np.testing.assert_array_equal(np.asarray(decode(content, 3)), turned(np.asarray(image)))


def test_damaged_exif_does_not_cost_the_image(noise, encode):
    content = encode(noise(1), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(np.asarray(decode(content, 3)), np.asarray(noise(1)))


def test_first_frame_of_an_animation_is_used(noise, encode):
    content = encode(noise(1), "PNG", save_all=True, append_images=[noise(2)])
    np.testing.assert_array_equal(np.asarray(decode(content, 3)), np.asarray(noise(1)))


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "not an image (it begins like an empty file)"),
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "not an image (it begins like a web page)"),
        (b"hello", "not an image (it begins like plain text)"),
        (b"PK\x03\x04....", "not an image (it begins like a zip archive)"),
        (b"\0\0\0\x18ftypheic", "a HEIC or AVIF file, which is not read; convert it to JPEG or PNG"),
        (b"\0\0\0\x1cftypavif", "a HEIC or AVIF file, which is not read; convert it to JPEG or PNG"),
        (b"\0\0\0\x20ftypisom", "not an image (it begins like an MP4 video)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image (it begins like plain text)"),
        (
            b"\x89PNG\r\n\x1a\n",
            "the image is damaged (it begins like a PNG image, but its header cannot be read)",
        ),
        (bytes(range(1, 99)), "not an image (it begins like data of an unknown kind)"),
    ],
)
def test_what_is_no_image_is_refused_with_what_it_looks_like(content, reason):
    with pytest.raises(DataError) as caught:
        decode(content, 3)
    assert str(caught.value) == reason


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"subsampling": 0}])
@pytest.mark.parametrize("size", [(64, 64), (33, 17)])
def test_jpeg_that_lacks_only_its_end_marker_is_read_and_one_that_lacks_pixels_is_not(size, options, noise, encode):
    content = encode(noise(0, size), "JPEG", **options)
    for num_lost in (1, 2):
        np.testing.assert_array_equal(np.asarray(decode(content[:-num_lost], 3)), np.asarray(decode(content, 3)))
    for num_lost in range(4, 12):
        with pytest.raises(DataError, match=r"^the image is cut short$"):
            decode(content[:-num_lost], 3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP"])
def test_truncated_image_is_refused_as_cut_short(format, noise, encode):
    content = encode(noise(0, (64, 64)), format)
    with pytest.raises(DataError) as caught:
        decode(content[: len(content) // 2], 3)
    assert str(caught.value) == "the image is cut short"


def test_flipped_bit_in_a_png_is_refused_as_damaged(noise, encode):
    content = bytearray(encode(noise(0, (64, 64)), "PNG"))
    content[len(content) // 2] ^= 1
    with pytest.raises(DataError, match=r"^the image is damaged \(.+\)$"):
        decode(bytes(content), 3)


def header_only_png(width, height):
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 9_000), (20_000, 20_000)])
def test_too_many_pixels_are_refused_before_they_are_decoded(size):
    with quiet_pillow(), pytest.raises(DataError) as caught:
        decode(header_only_png(*size), 3)
    assert str(caught.value) == "the image has too many pixels (the limit is 89,478,485)"


def test_pixel_limit_holds_even_where_pillows_own_is_lifted(monkeypatch, noise, encode):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(DataError, match=r"^the image has too many pixels \(the limit is 89,478,485\)$"):
        decode(header_only_png(10_000, 9_000), 3)
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 24 * 24)
    assert decode(encode(noise()), 3).size == (24, 24)


@pytest.mark.parametrize(
    "values, reason",
    [
        (np.array([[0, 70000]], np.int32), "its numbers are not 16-bit brightnesses (from 0 to 70000)"),
        (np.array([[-1, 5]], np.int32), "its numbers are not 16-bit brightnesses (from -1 to 5)"),
        (np.array([[0, 300]], np.float32), "its numbers are not brightnesses (from 0 to 300)"),
        (np.array([[-0.5, 1]], np.float32), "its numbers are not brightnesses (from -0.5 to 1)"),
        (np.array([[np.nan, 1]], np.float32), "its numbers are not brightnesses (from nan to nan)"),
    ],
)
def test_numbers_that_are_no_brightness_are_refused(values, reason, encode):
    with pytest.raises(DataError) as caught:
        decode(encode(Image.fromarray(values), "TIFF"), 3)
    assert str(caught.value) == reason


def test_image_of_the_wanted_mode_is_taken_as_it_is(noise):
    image = noise()
    assert to_channels(image, 3) is image


def test_mutated_bytes_end_in_an_image_or_a_reason(noise, encode):
    """Images with some bytes changed, half of them cut short as well."""
    valid = [encode(noise(0, (17, 13)), format) for format in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")]
    dice = random.Random(0)
    endings = set()
    with quiet_pillow():
        for number in range(300):
            content = bytearray(valid[number % len(valid)])
            for _ in range(dice.randrange(7)):
                content[dice.randrange(len(content))] = dice.randrange(256)
            try:
                endings.add(decode(bytes(content[: dice.randrange(1, 2 * len(content))]), 3).mode)
            except DataError as error:
                assert str(error) and "\n" not in str(error)
                endings.add("reason")
    assert endings == {"RGB", "reason"}
