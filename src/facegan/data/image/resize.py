"""From the content that a source delivers to the square that the network sees: decoded, upright, cropped, resized."""

from dataclasses import dataclass
from math import ceil, floor

from PIL import Image

from ...errors import DataError
from ...images.decode import READING, decode, to_channels
from ..source import Delivered
from .crop import FILTERS, Crop
from .jpeg import read_jpeg


@dataclass(frozen=True)
class Preprocessing:
    """How a square is made of an image; the fields are those of `data` and the networks."""

    crop: Crop
    resolution: int
    channels: int
    filter: str = "bicubic"
    draft: bool = False
    reading: int = READING


def to_image(content: Delivered, channels: int, *, reading: int = READING) -> Image.Image:
    """Decode a delivered image at full size, upright; raise the DataError that a source delivers for an unread file."""
    if isinstance(content, DataError):
        raise content
    if isinstance(content, Image.Image):
        return to_channels(content, channels)
    return decode(content, channels, reading=reading)


def to_square(content: Delivered, how: Preprocessing) -> Image.Image:
    """Decode, crop and resize one image to resolution x resolution; raises DataError, its message the reason alone.

    With `draft`, a JPEG file is decoded at 1/2, 1/4 or 1/8 of its size as long as the region keeps at least
    `resolution` pixels a side. Faster, with different pixels: blocks are averaged before the filter sees them.
    Where it leaves exactly `resolution` pixels nothing is filtered; the region is then moved to integer pixels, by half
    a pixel of the result at most, because filtering for that would only blur.
    """
    crop, resolution = how.crop, how.resolution

    def scale(width: int, height: int) -> int:  # libjpeg can divide both sides by 8, 4 and 2 while it decodes
        left, _, right, _ = crop.region(width, height)
        return next((scale for scale in (8, 4, 2) if how.draft and (right - left) >= resolution * scale), 1)

    jpeg = read_jpeg(content, scale) if isinstance(content, bytes) else None
    if jpeg is None:
        return crop.apply(to_image(content, how.channels, reading=how.reading), resolution, how.filter)
    left, top, right, bottom = (edge / jpeg.scale for edge in crop.region(jpeg.width, jpeg.height))
    if right - left == resolution:
        left, top = floor(left), floor(top)
        right, bottom = left + resolution, top + resolution
    x, y = floor(left), floor(top)  # the region may begin inside a pixel
    image = Image.fromarray(jpeg.pixels[y : ceil(bottom), x : ceil(right)])
    box = left - x, top - y, right - x, bottom - y
    return to_channels(image, how.channels).resize((resolution, resolution), FILTERS[how.filter], box)
