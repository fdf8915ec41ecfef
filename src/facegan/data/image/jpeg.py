"""The quick way through plain JPEG files: the same pixels as Pillow's, upright, at full or reduced size."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from .decode import MAX_PIXELS, orientation

_PLAIN = {"Gray": "GRAY", "YCbCr": "RGB"}  # other colour spaces have conventions that Pillow knows
_MARKS = (b"Exif\x00\x00", b"tiff:Orientation")  # without these nothing says how the image is turned
# EXIF's orientations, undone on an array (H, W, ...) without copying it.
_TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


@dataclass(frozen=True)
class Jpeg:
    """A decoded JPEG file.

    Attributes:
        pixels: uint8 (h, w, 3) or, of a grey file, (h, w), turned upright; w = width / scale, rounded up.
        width: Of the image at full size, upright.
        height: Of the image at full size, upright.
        scale: 1, 2, 4 or 8.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    scale: int


def read_jpeg(content: bytes, scale: Callable[[int, int], int]) -> Jpeg | None:
    """Decode a sound, plain JPEG file; None for anything else, which Pillow then reads or says what is wrong.

    Args:
        content: A file's bytes.
        scale: Given the upright width and height, the number by which both are divided while decoding (DCT scaling):
            1, 2, 4 or 8.
    """
    if content[:3] != b"\xff\xd8\xff":
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
        if space not in _PLAIN or width * height > MAX_PIXELS:
            return None
        turn = _orientation(content)
        upright = (height, width) if turn >= 5 else (width, height)
        factor = scale(*upright)
        smaller = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
        pixels = simplejpeg.decode_jpeg(content, _PLAIN[space], **(smaller if factor > 1 else {}))
    except ValueError:  # damaged, or cut short
        return None
    if space == "Gray":
        pixels = pixels[:, :, 0]
    return Jpeg(_TURNS[turn](pixels) if turn in _TURNS else pixels, *upright, factor)


def _orientation(content: bytes) -> int:
    if _MARKS[0] not in content and _MARKS[1] not in content:
        return 1
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return orientation(image)
