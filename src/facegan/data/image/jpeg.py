"""Fast decoding of plain JPEG files: the same pixels as Pillow's, upright, at full or reduced size.

simplejpeg is faster than Pillow; without it, Pillow decodes.
"""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import DataError
from ...images.decode import MAX_PIXELS, orientation

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

SIMPLEJPEG_VERSION: str | None = simplejpeg and simplejpeg.__version__
_COLOUR_SPACES = {"Gray": "GRAY", "YCbCr": "RGB"}  # others have conventions that Pillow knows
_ORIENTATION_MARKS = (b"Exif\x00\x00", b"tiff:Orientation")

Scale = Callable[[int, int], int]


class Jpeg(NamedTuple):
    """A decoded JPEG file."""

    pixels: NDArray[np.uint8]  # (h, w, 3), or (h, w) of a grey file, turned upright; w = width / scale, rounded up
    width: int  # of the upright image at full size
    height: int
    scale: int  # 1, 2, 4 or 8


def read_jpeg(content: bytes, scale: Scale) -> Jpeg | None:
    """Decode a valid, plain JPEG file; None for anything else, which `decode` then reads or refuses with a reason.

    `scale` takes the upright width and height, and returns by what both are divided while decoding (DCT scaling).
    """
    if content[:3] != b"\xff\xd8\xff":
        return None
    try:
        return _read_with_pillow(content, scale) if simplejpeg is None else _read_with_simplejpeg(content, scale)
    except DataError:
        raise
    except Exception:  # damaged, or cut short
        return None


def _read_with_simplejpeg(content: bytes, scale: Scale) -> Jpeg | None:
    height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    if space not in _COLOUR_SPACES or width * height > MAX_PIXELS:
        return None
    turn = 1
    if any(mark in content for mark in _ORIENTATION_MARKS):
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            turn = orientation(image)
    upright = (height, width) if turn >= 5 else (width, height)
    factor = scale(*upright)
    smaller = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
    pixels = simplejpeg.decode_jpeg(content, _COLOUR_SPACES[space], **(smaller if factor > 1 else {}))
    return Jpeg(_turned(pixels[:, :, 0] if space == "Gray" else pixels, turn), *upright, factor)


def _read_with_pillow(content: bytes, scale: Scale) -> Jpeg | None:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        is_plain = image.mode == "L" or (image.mode == "RGB" and image.info.get("adobe_transform", 1) == 1)
        if not is_plain or image.width * image.height > MAX_PIXELS:
            return None
        turn = orientation(image)
        upright = image.size[::-1] if turn >= 5 else image.size
        factor = scale(*upright)
        image.draft(None, (image.width // factor, image.height // factor))
        return Jpeg(_turned(np.asarray(image), turn), *upright, factor)


def _turned(pixels: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation, 1 to 8, of an array (H, W, ...) without copying it."""
    pixels = pixels.swapaxes(0, 1) if turn >= 5 else pixels
    pixels = pixels[:, ::-1] if turn in (2, 3, 6, 7) else pixels
    return pixels[::-1] if turn in (3, 4, 7, 8) else pixels
