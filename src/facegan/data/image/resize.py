"""From the content that a source delivers to the square that the network sees: decoded, upright, cropped, resized."""

from functools import partial
from math import ceil, floor

from PIL import Image

from ...errors import DataError
from ...images.decode import decode, to_channels
from ..source import Delivered
from .crop import FILTERS, Crop
from .jpeg import Jpeg, read_jpeg

_SCALES = (8, 4, 2)  # by which libjpeg can divide both sides while it decodes


def to_image(content: Delivered, channels: int) -> Image.Image:
    """Decode what a source delivers at full size, upright; raises the DataError that it delivers for an unread file."""
    if isinstance(content, DataError):
        raise content
    return to_channels(content, channels) if isinstance(content, Image.Image) else decode(content, channels)


def to_square(
    content: Delivered, *, crop: Crop, resolution: int, channels: int, filter: str = "bicubic", draft: bool = False
) -> Image.Image:
    """Decode, crop and resize one image.

    Args:
        content: A source's delivery.
        crop: The region.
        resolution: Height and width of the result.
        channels: 3 for RGB, 1 for L.
        filter: The resampling filter, a key of `FILTERS`.
        draft: Decode a JPEG file at 1/2, 1/4 or 1/8 of its size as long as the region keeps at least `resolution`
            pixels a side. Faster, with different pixels: the reduction averages blocks before the filter sees them.
            Where it leaves exactly `resolution` pixels nothing is filtered; the region is then moved to integer pixels,
            by half a pixel of the result at most, because filtering for that would only blur.

    Raises:
        DataError: It cannot be decoded or cropped so; the message is the reason alone.
    """
    scale = partial(_scale, crop, resolution) if draft else _full_size
    jpeg = read_jpeg(content, scale) if isinstance(content, bytes) else None
    if jpeg is None:
        return crop.apply(to_image(content, channels), resolution, filter)
    image, box = _cut(jpeg, crop, resolution)
    return to_channels(image, channels).resize((resolution, resolution), FILTERS[filter], box)


def _full_size(width: int, height: int) -> int:  # noqa: ARG001
    return 1


def _scale(crop: Crop, resolution: int, width: int, height: int) -> int:
    left, _, right, _ = crop.region(width, height)
    return next((scale for scale in _SCALES if (right - left) >= resolution * scale), 1)


def _cut(jpeg: Jpeg, crop: Crop, resolution: int) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """Return the pixels that the region touches, and the region within them, which may begin inside a pixel."""
    left, top, right, bottom = (edge / jpeg.scale for edge in crop.region(jpeg.width, jpeg.height))
    if right - left == resolution:
        left, top = floor(left), floor(top)
        right, bottom = left + resolution, top + resolution
    x, y = floor(left), floor(top)
    return Image.fromarray(jpeg.pixels[y : ceil(bottom), x : ceil(right)]), (left - x, top - y, right - x, bottom - y)
