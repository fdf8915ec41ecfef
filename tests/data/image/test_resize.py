import importlib
import io
import random
import struct
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from facegan.config import DataConfig
from facegan.data.image import jpeg as jpeg_module
from facegan.data.image import resize as squares
from facegan.data.image.crop import parse_crop
from facegan.data.image.jpeg import read_jpeg
from facegan.data.image.resize import Preprocessing, to_square
from facegan.data.packed import pack as packing
from facegan.data.packed.load import load
from facegan.errors import DataError
from facegan.images.decode import decode, quiet_pillow


@pytest.fixture
def portrait():
    """portrait((178, 218)) -> an image with shapes and shades, without symmetry."""

    def make(size=(178, 218), mode="RGB"):
        x, y = np.meshgrid(np.linspace(0, 200, size[0]), np.linspace(0, 255, size[1]))
        image = Image.fromarray(np.stack([x, y, (x * y) % 256], axis=-1).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        draw.ellipse((size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2), fill=(250, 30, 60))
        draw.rectangle((size[0] // 2, size[1] // 2, size[0] - 9, size[1] - 31), fill=(10, 190, 20))
        return image.convert(mode)

    return make


def turned(number):
    """EXIF bytes that say an image is turned."""
    exif = Image.Exif()
    exif[0x0112] = number
    return exif.tobytes()


def slow(content, crop, resolution, channels, filter="bicubic"):
    return parse_crop(crop).apply(decode(content, channels), resolution, filter)


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"subsampling": 2, "quality": 60}, {"progressive": True}, {"exif": turned(6)}]
)
def test_quick_way_gives_the_pixels_of_pillow(portrait, encode, options):
    crops = ("auto", "center:108", "box:11,40,129,129")
    for mode, filter, channels in (("RGB", "bicubic", 3), ("L", "lanczos", 1), ("RGB", "box", 1), ("L", "bicubic", 3)):
        content = encode(portrait(mode=mode), "JPEG", **options)
        assert read_jpeg(content, lambda *_: 1) is not None
        for crop in crops:
            quick = to_square(
                content, Preprocessing(crop=parse_crop(crop), resolution=32, channels=channels, filter=filter)
            )
            np.testing.assert_array_equal(np.asarray(quick), np.asarray(slow(content, crop, 32, channels, filter)))


@pytest.mark.parametrize("resolution", [16, 32, 64])  # decoded at 1/8, 1/4 and 1/2 of the size in draft
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}, {"exif": turned(6)}])
def test_pillow_alone_gives_the_same_pixels(portrait, encode, monkeypatch, options, resolution):
    contents = [encode(portrait((251, 250), mode), "JPEG", **options) for mode in ("RGB", "L")]
    arguments = {"crop": parse_crop("center:129"), "resolution": resolution, "channels": 3}

    def squares_of(draft):
        return [np.asarray(to_square(content, Preprocessing(**arguments, draft=draft))) for content in contents]

    expected = squares_of(False), squares_of(True)
    monkeypatch.setattr(jpeg_module, "simplejpeg", None)
    np.testing.assert_array_equal((squares_of(False), squares_of(True)), expected)
    assert not np.array_equal(*expected)


def test_images_are_packed_where_simplejpeg_is_missing(portrait, encode, tmp_path, monkeypatch):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "a.jpg").write_bytes(encode(portrait(), "JPEG"))
    data = DataConfig(source=str(tmp_path / "faces"), draft=True)
    expected = load(data, resolution=16, channels=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "simplejpeg", None)
        importlib.reload(jpeg_module)
    monkeypatch.setattr(packing, "SIMPLEJPEG_VERSION", jpeg_module.SIMPLEJPEG_VERSION)
    packed = load(data, resolution=16, channels=3)
    importlib.reload(jpeg_module)
    assert packed.path != expected.path and packed.digest == expected.digest
    assert sorted(packed.index.versions) == ["facegan", "pillow"]


def test_every_orientation_is_turned_upright(portrait, encode):
    for number in range(1, 9):
        content = encode(portrait(), "JPEG", exif=turned(number))
        jpeg = read_jpeg(content, lambda *_: 1)
        upright = decode(content, 3)
        assert (jpeg.width, jpeg.height) == upright.size == ((178, 218) if number < 5 else (218, 178))
        np.testing.assert_array_equal(jpeg.pixels, np.asarray(upright))


def test_orientation_in_xmp_counts_as_well(portrait, encode):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    content = encode(portrait(), "JPEG", xmp=xmp)
    np.testing.assert_array_equal(read_jpeg(content, lambda *_: 1).pixels, np.asarray(decode(content, 3)))
    assert decode(content, 3) != decode(encode(portrait(), "JPEG"), 3)


def test_what_is_not_plain_jpeg_is_left_to_pillow(portrait, encode):
    sound = encode(portrait(), "JPEG")
    for content in (
        encode(portrait(), "PNG"), encode(portrait(mode="CMYK"), "JPEG"), sound[:1000], b"\xff\xd8\xff", b"", b"<html>",
    ):  # fmt: skip
        assert read_jpeg(content, lambda *_: 1) is None
    np.testing.assert_array_equal(
        np.asarray(
            to_square(
                encode(portrait(mode="CMYK"), "JPEG"), Preprocessing(crop=parse_crop("auto"), resolution=16, channels=3)
            )
        ),
        np.asarray(slow(encode(portrait(mode="CMYK"), "JPEG"), "auto", 16, 3)),
    )


def test_header_that_claims_too_many_pixels_is_refused_before_decoding(portrait, encode, monkeypatch):
    content = bytearray(encode(portrait(), "JPEG"))
    start = content.index(b"\xff\xc0") + 5  # height and width in the frame's header
    content[start : start + 4] = struct.pack(">HH", 60_000, 60_000)
    monkeypatch.setattr(jpeg_module.simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded"))
    with quiet_pillow(), pytest.raises(DataError, match=r"too many pixels \(the limit is 89,478,485\)"):
        to_square(bytes(content), Preprocessing(crop=parse_crop("auto"), resolution=16, channels=3))


@pytest.mark.parametrize("crop", ["auto", "center:128", "box:11,40,135,135"])
@pytest.mark.parametrize("size", [(178, 218), (251, 333)])
def test_draft_keeps_everything_in_its_place(encode, crop, size):
    """A soft spot has its centre within a twentieth of a pixel of where full decoding has it; within half a pixel
    where the region, at a reduced size, has just the pixels that are asked for."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    spot = 255 * np.exp(-((x - 80) ** 2 + (y - 110) ** 2) / 600)
    content = encode(Image.fromarray(spot.astype(np.uint8)).convert("RGB"), "JPEG", quality=95, subsampling=0)
    centres, results = [], []
    for draft in (False, True):
        results.append(to_square(content, Preprocessing(crop=parse_crop(crop), resolution=32, channels=1, draft=draft)))
        light = np.asarray(results[-1]).astype(float)
        across, down = np.meshgrid(np.arange(32), np.arange(32))
        centres.append(((light * across).sum() / light.sum(), (light * down).sum() / light.sum()))
    assert results[0] != results[1]
    exact = crop in ("center:128",) and any((side - 128) / 2 % 4 for side in size)
    np.testing.assert_allclose(*centres, atol=0.55 if exact else 0.05)


def test_draft_that_leaves_just_enough_pixels_is_not_filtered(portrait, encode):
    content = encode(portrait((250, 250)), "JPEG")
    results = [
        to_square(
            content, Preprocessing(crop=parse_crop("center:128"), resolution=64, channels=3, filter=filter, draft=True)
        )
        for filter in ("box", "bicubic", "lanczos")
    ]
    reduced = read_jpeg(content, lambda *_: 2).pixels  # of 125x125, the region begins at 30.5
    for result in results:
        np.testing.assert_array_equal(np.asarray(result), reduced[30:94, 30:94])


@pytest.mark.parametrize(
    "crop, resolution, scale",
    [("center:128", 64, 2), ("center:127", 64, 1), ("center:128", 32, 4), ("center:128", 16, 8), ("auto", 16, 8),
     ("center:128", 128, 1), ("center:100", 256, 1)],
)  # fmt: skip
def test_draft_reduces_as_far_as_leaves_enough_pixels(portrait, encode, monkeypatch, crop, resolution, scale):
    scales = []
    original = squares.read_jpeg
    monkeypatch.setattr(squares, "read_jpeg", lambda *args: scales.append(original(*args)) or scales[-1])
    content = encode(portrait((250, 250)), "JPEG")
    result = to_square(content, Preprocessing(crop=parse_crop(crop), resolution=resolution, channels=3, draft=True))
    assert result.size == (resolution, resolution) and scales[0].scale == scale
    assert scales[0].pixels.shape[0] == -(-250 // scale)


def test_draft_leaves_other_formats_as_they_are(portrait, encode):
    arguments = {"crop": parse_crop("auto"), "resolution": 16, "channels": 3}
    content = encode(portrait(), "PNG")
    assert to_square(content, Preprocessing(**arguments, draft=True)) == to_square(content, Preprocessing(**arguments))


@pytest.mark.parametrize("draft", [False, True])
def test_crop_that_does_not_fit_is_refused_with_the_size_of_the_image(portrait, encode, draft):
    with pytest.raises(DataError) as caught:
        to_square(
            encode(portrait(), "JPEG"),
            Preprocessing(crop=parse_crop("center:200"), resolution=16, channels=3, draft=draft),
        )
    assert str(caught.value) == "the image (178x218) is smaller than the crop center:200"


def test_images_and_refusals_of_a_source_pass(portrait):
    arguments = {"crop": parse_crop("auto"), "resolution": 16, "channels": 1}
    assert to_square(portrait((80, 80)), Preprocessing(**arguments)) == parse_crop("auto").apply(
        portrait((80, 80), "L"), 16
    )
    with pytest.raises(DataError, match=r"^no light$"):
        to_square(DataError("no light"), Preprocessing(**arguments))


def test_whatever_the_bytes_the_end_is_a_square_or_a_reason(portrait, encode, capfd):
    """Four hundred JPEG files cut, flipped, spliced: at full size and in draft."""
    rng = random.Random(0)
    image = portrait((96, 80))
    sound = [
        encode(image, "JPEG", **options)
        for options in ({}, {"progressive": True}, {"exif": turned(5)}, {"subsampling": 0, "restart_marker_rows": 1})
    ]
    crop, endings = parse_crop("auto"), {"square": 0, "reason": 0}
    with quiet_pillow():
        for number in range(400):
            content = bytearray(rng.choice(sound))
            kind = number % 4
            if kind == 0:
                del content[rng.randrange(len(content)) :]
            elif kind == 1:
                start = rng.randrange(len(content))
                content[start : start + rng.randrange(40)] = rng.choice(sound)[start : start + rng.randrange(80)]
            else:
                reach = len(content) if kind == 2 else 200  # the headers are where most can go wrong
                for _ in range(rng.randrange(1, 8)):
                    content[rng.randrange(reach)] = rng.randrange(256)
            try:
                result = to_square(
                    bytes(content), Preprocessing(crop=crop, resolution=16, channels=3, draft=bool(number & 8))
                )
            except DataError as error:
                endings["reason"] += 1
                assert str(error).strip() and "\n" not in str(error)
            else:
                endings["square"] += 1
                assert result.mode == "RGB" and result.size == (16, 16)
    assert min(endings.values()) > 20
    assert capfd.readouterr().err == ""


def test_square_reads_what_pillow_can_read(portrait, encode):
    for format in ("PNG", "WEBP", "BMP", "TIFF", "GIF"):
        content = encode(portrait((80, 70)), format)
        expected = parse_crop("auto").apply(Image.open(io.BytesIO(content)).convert("RGB"), 16)
        assert to_square(content, Preprocessing(crop=parse_crop("auto"), resolution=16, channels=3)) == expected
