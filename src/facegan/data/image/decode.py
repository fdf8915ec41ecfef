"""Encoded bytes to an upright 8-bit image, colour or grey. Whatever the bytes, the worst outcome is a DataError."""

import functools
import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...errors import DataError
from ..sources.kinds import sniff_file_type

MAX_PIXELS = 89_478_485  # Pillow's own limit, where it only warns
# Formats that decode inside Pillow; others start programs (EPS) or have no business behind an image's ending.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF")
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(content: bytes, channels: int) -> Image.Image:
    """Decode a file's bytes to an image of mode RGB (3 channels) or L (1 channel), turned upright by its EXIF mark.

    Transparency is laid on white; 16 bits are divided by 257; the first frame of an animation is used.

    Raises:
        DataError: The bytes are no image, damaged, or have too many pixels; the message is the reason alone.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_many_pixels(image.width * image.height)
            image.load()
            return plain(_upright(image), channels)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(int(re.findall(r"\d+", str(error))[0])) from None
    except UnidentifiedImageError:
        kind = sniff_file_type(content)
        if kind.endswith(" image"):
            raise DataError(f"the image is damaged (it begins like {kind}, but its header cannot be read)") from None
        raise DataError(f"not an image (it begins like {kind})") from None
    except MemoryError:
        raise DataError("too large for the memory") from None
    except Exception as error:
        raise DataError(f"the image is {_damage(error)}") from None


def header(content: bytes) -> tuple[tuple[int, int], str, str]:
    """An image file's (width, height), mode and format, as its header tells; no pixel is decoded.

    Raises:
        DataError: It is no image.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            size = (image.height, image.width) if orientation(image) >= 5 else image.size  # 5 to 8 lie on their side
            return size, image.mode, str(image.format)
    except Exception as error:
        raise DataError(f"the image is {_damage(error)}") from None


def plain(image: Image.Image, channels: int) -> Image.Image:
    """Turn an image of any mode into RGB (3 channels) or L (1 channel), 8 bits each.

    Raises:
        DataError: Its numbers have no agreed meaning as brightness.
    """
    wanted = "RGB" if channels == 3 else "L"
    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    elif image.has_transparency_data:
        image = _on_white(image)
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image if image.mode == wanted else image.convert(wanted)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's remarks on odd files off the terminal while many are decoded; for the whole process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of our formats that this copy of Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def orientation(image: Image.Image) -> int:
    """How EXIF or XMP says that an image is turned: 1 (upright) to 8; a damaged mark beside sound pixels is 1."""
    try:
        turn = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return turn if turn in _UPRIGHT else 1


def _upright(image: Image.Image) -> Image.Image:
    turn = orientation(image)
    return image if turn == 1 else image.transpose(_UPRIGHT[turn])


def _on_white(image: Image.Image) -> Image.Image:
    picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Grey of 16-bit whole numbers (0...65535) or of floating-point numbers (0...1, or 0...255 when any is above 1)."""
    values = np.asarray(image)
    if values.dtype.kind == "f":
        low, high = values.min(), values.max()  # either is NaN when any value is
        if not (low >= 0 and high <= 255):
            raise DataError(f"its numbers are not brightnesses (from {low:g} to {high:g})")
        grey = np.rint(values * (255 if high <= 1 else 1))
    else:
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"its numbers are not 16-bit brightnesses (from {values.min()} to {values.max()})")
        grey = (values.astype(np.uint32) + 128) // 257  # x / 257, rounded
    return Image.fromarray(grey.astype(np.uint8))


def _too_many_pixels(num_pixels: int) -> DataError:
    return DataError(f"the image has too many pixels ({num_pixels:,}; the limit is {MAX_PIXELS:,})")


def _damage(error: Exception) -> str:
    words = " ".join(str(error).split())
    if isinstance(error, (EOFError, struct.error)) or "truncated" in words.lower():
        return "cut short"
    return f"damaged ({words[:100] or type(error).__name__})"
