"""Decode the bytes of an image file to an upright 8-bit image; bytes of any kind raise a DataError at worst."""

import functools
import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import DataError
from ..messages import one_line

MAX_BYTES = 64 * 2**20  # of an image file
MAX_PIXELS = 89_478_485  # Pillow's own limit, where it only warns
READING = 2  # the newest rules of decoding, see `data.reading`
# Formats that decode inside Pillow; others start programs (EPS) or are not expected among photographs.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM")
_SINCE = {"PPM": 2}  # the rules with which a format came
_ORIENTATION, _PHOTOMETRIC, _BITS = 0x0112, 0x0106, 0x0102  # tags of TIFF
_END = b"\xff\xd9"  # of a JPEG file
HEIC = "a HEIC or AVIF file"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIGNATURES = {
    rb"PK(\x03\x04|\x05\x06)": "a zip archive",
    rb"\x1f\x8b": "a gzip file",
    rb"BZh": "a bzip2 file",
    rb"\xfd7zXZ\0": "an xz file",
    rb"Rar!": "a rar archive",
    rb"7z\xbc\xaf\x27\x1c": "a 7z archive",
    rb".{257}ustar": "a tar archive",
    rb"PAR1": "a parquet file",
    rb"\x93NUMPY": "a numpy array",
    rb"%PDF": "a PDF document",
    rb"\x89PNG": "a PNG image",
    rb"\xff\xd8\xff": "a JPEG image",
    rb"GIF8": "a GIF image",
    rb"II[*+]\0|MM\0[*+]": "a TIFF image",
    rb"BM.{4}\0{4}.{4}[\x0c(\x28@l|\x7c]\0{3}|BM[^\t\n\r\x20-\x7e]": "a BMP image",
    rb"RIFF.{4}WEBP": "a WebP image",
    rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s": "a PNM image",
    rb".{4}ftyp(he[iv][cxms]|mif1|msf1|avi[fs])": HEIC,
    rb".{4}ftyp": "an MP4 video",
    rb"(?i:(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|!--|meta|script|title))": "a web page",
    rb"(\xef\xbb\xbf)?[\t\n\r\x20-\x7e]+\Z": "plain text",
    rb"\Z": "an empty file",
    rb"": "data of an unknown kind",
}


def decode(content: bytes, channels: int, *, reading: int = READING) -> Image.Image:
    """Decode a file to an image of mode RGB (3 channels) or L (1 channel), turned upright by its EXIF orientation.

    Transparency is composited on white; 16-bit values are divided by 257; of an animation the first frame is used. A
    JPEG file that lacks nothing but its end marker is complete. `reading` 1 decodes as older versions did.
    Raises DataError, its message the reason alone.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_formats(reading)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if reading > 1 and lacks_end_marker(content):
                return decode(_completed(content), channels)
            image.load()
            upright = image if reading == 1 else _normalized(image)
            turn = orientation(image)
            return to_channels(upright if turn == 1 else upright.transpose(_UPRIGHT[turn]), channels)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"the image has too many pixels (the limit is {MAX_PIXELS:,})") from None
    except UnidentifiedImageError:
        kind = sniff_file_type(content)
        if kind == HEIC:
            raise DataError(f"{kind}, which is not read; convert it to JPEG or PNG") from None
        if kind.endswith(" image"):
            raise DataError(f"the image is damaged (it begins like {kind}, but its header cannot be read)") from None
        raise DataError(f"not an image (it begins like {kind})") from None
    except Exception as error:
        raise _damaged(error) from None


def read_header(content: bytes) -> tuple[tuple[int, int], str, str]:
    """Return an image file's upright (width, height), mode and format without decoding; raises DataError."""
    try:
        with Image.open(io.BytesIO(content), formats=_formats(READING)) as image:
            is_sideways = orientation(image) >= 5
            return image.size[::-1] if is_sideways else image.size, image.mode, str(image.format)
    except Exception as error:
        raise _damaged(error) from None


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Convert an image of any mode to RGB (3 channels) or L (1), 8 bits each; raises DataError for no brightnesses."""
    mode = "RGB" if channels == 3 else "L"
    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image if image.mode == mode else image.convert(mode)


def orientation(image: Image.Image) -> int:
    """Return the EXIF or XMP orientation: 1 (upright) to 8; an invalid tag next to valid pixels counts as 1."""
    try:
        turn = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return turn if turn in _UPRIGHT else 1


def lacks_end_marker(content: bytes) -> bool:
    """Return whether the bytes are those of a JPEG file that stops before its end marker."""
    place = 2  # of the segments before the image, which may hold a thumbnail with an end marker of its own
    while content[place : place + 1] == b"\xff" and content[place + 1 : place + 2] != b"\xda":
        place += 2 + int.from_bytes(content[place + 2 : place + 4])
    return content.startswith(b"\xff\xd8\xff") and content.find(_END, place) < 0


def too_large(size_bytes: int) -> DataError | None:
    """Return the error for a file above the size limit, or None."""
    if size_bytes <= MAX_BYTES:
        return None
    return DataError(f"the file is too large ({-(-size_bytes // 2**20)} MiB; the limit is {MAX_BYTES // 2**20} MiB)")


def sniff_file_type(content: bytes) -> str:
    """Name a file's type from its first 512 bytes, with an article: "a zip archive", "a web page", "plain text"."""
    return next(kind for mark, kind in _SIGNATURES.items() if re.match(mark, content[:512], re.DOTALL))


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings about malformed files while many are decoded, in the entire process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@functools.cache
def _formats(reading: int) -> tuple[str, ...]:
    """Those of our formats that this copy of Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN and _SINCE.get(name, 1) <= reading)


def _completed(content: bytes) -> bytes:
    """Return a JPEG file with the end marker that it lacks; raises DataError if pixels are missing as well.

    If any are, what follows is decoded as theirs, so that different bytes give different images.
    """
    content = content.rstrip(b"\xff")
    ends = [_END, *(bytes([value] * 64) + _END for value in (0x00, 0x0F, 0x33, 0x55, 0x69, 0xAA, 0xCC, 0xF0, 0xFE))]
    images = set()
    for end in ends:
        with Image.open(io.BytesIO(content + end), formats=("JPEG",)) as image:
            images.add(image.tobytes())
    if len(images) > 1:
        raise DataError("the image is cut short")
    return content + _END


def _normalized(image: Image.Image) -> Image.Image:
    """Return an image with more than 8 bits a pixel whose numbers mean what `to_channels` takes them for."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16") and tags.get(_BITS) == (12,):
        values = (values.astype(np.uint32) * 65535 // 4095).astype(np.uint16)
    if tags.get(_PHOTOMETRIC) == 0:  # white
        limit = 65535 if values.dtype.kind != "f" else 255 if values.max() > 1 else 1
        values = limit - values
    if isinstance(clear := image.info.get("transparency"), int):
        values = np.where(values == clear, 65535, values).astype(values.dtype)
    return Image.fromarray(values)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Convert 16-bit integers (0...65535) or floats (0...1, or 0...255 when any is above 1) to 8-bit grey."""
    values = np.asarray(image)
    low, high = values.min(), values.max()  # either is NaN when any value is
    limit, kind = (255, "") if values.dtype.kind == "f" else (65535, "16-bit ")
    if not (low >= 0 and high <= limit):
        raise DataError(f"its numbers are not {kind}brightnesses (from {low:g} to {high:g})")
    if values.dtype.kind == "f":
        return Image.fromarray(np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8))
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))  # x / 257, rounded


def _damaged(error: Exception) -> DataError:
    words = one_line(error)
    is_short = isinstance(error, (EOFError, struct.error)) or "truncated" in words.lower()
    return DataError("the image is cut short" if is_short else f"the image is damaged ({words[:100]})")
