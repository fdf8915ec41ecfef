"""From what a source delivers to the square that the network sees: decoded, upright, cropped, resized."""

from functools import partial
from math import ceil, floor

from PIL import Image

from ...errors import DataError
from ..source import Delivered, ImageSource, shown
from .crop import FILTERS, Crop
from .decode import decode, plain, quiet_pillow
from .jpeg import Jpeg, read_jpeg

_LOOK = 16  # images of an unknown copy
_SCALES = (8, 4, 2)  # by which libjpeg can divide both sides while it decodes


def square(
    content: Delivered, *, crop: Crop, resolution: int, channels: int, filter: str = "bicubic", draft: bool = False
) -> Image.Image:
    """Decode, crop and resize one image.

    Args:
        content: What a source delivered.
        crop: The region.
        resolution: Height and width of the result.
        channels: 3 for RGB, 1 for L.
        filter: The resampling filter, a key of `FILTERS`.
        draft: Decode a JPEG file at 1/2, 1/4 or 1/8 of its size as long as the region keeps at least `resolution`
            pixels a side. Quicker, and other pixels: the reduction averages blocks before the filter sees them, and
            where it leaves just `resolution` pixels there is no filter; the region is then moved to whole pixels, by
            half a pixel of the result at most, since filtering for that would only blur.

    Raises:
        DataError: It cannot be decoded or cropped so; the message is the reason alone.
    """
    if isinstance(content, DataError):
        raise content
    if isinstance(content, Image.Image):
        return crop.apply(plain(content, channels), resolution, filter)
    jpeg = read_jpeg(content, partial(_scale, crop, resolution) if draft else _full_size)
    if jpeg is None:
        return crop.apply(decode(content, channels), resolution, filter)
    image, box = _cut(jpeg, crop, resolution)
    return plain(image, channels).resize((resolution, resolution), FILTERS[filter], box)


def refuse_unreadable(pictures: ImageSource, where: str) -> None:
    """Refuse a source of which none of the first images can be decoded; looks at a few.

    Raises:
        DataError: So it is.
    """
    names = pictures.names[:_LOOK]
    name, reason = names[0], DataError("the source did not deliver it")
    with quiet_pillow():
        for name, content in pictures.read(names, 64):  # noqa: B007
            try:
                if isinstance(content, DataError):
                    raise content
                if isinstance(content, bytes):
                    decode(content, 3)
                return
            except DataError as error:
                reason = error
    raise DataError(f"{where}: none of the first {len(names)} images can be used; {shown(name)}: {reason}")


def _full_size(width: int, height: int) -> int:  # noqa: ARG001
    return 1


def _scale(crop: Crop, resolution: int, width: int, height: int) -> int:
    left, _, right, _ = crop.region(width, height)
    return next((scale for scale in _SCALES if (right - left) >= resolution * scale), 1)


def _cut(jpeg: Jpeg, crop: Crop, resolution: int) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """The pixels that the region touches, and the region within them: at a reduced size it can begin inside of one."""
    left, top, right, bottom = (edge / jpeg.scale for edge in crop.region(jpeg.width, jpeg.height))
    if right - left == resolution:
        left, top = floor(left), floor(top)
        right, bottom = left + resolution, top + resolution
    x, y = floor(left), floor(top)
    return Image.fromarray(jpeg.pixels[y : ceil(bottom), x : ceil(right)]), (left - x, top - y, right - x, bottom - y)
