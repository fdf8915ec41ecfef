"""The square of an image that is used, and its reduction to the network's resolution in one resampling step."""

import re
from dataclasses import dataclass

from PIL import Image

from ...config.error_messages import CROP_PATTERN
from ...errors import ConfigError, DataError
from ...messages import quoted

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}

# The crops that published work on faces uses. They are meant for CelebA's aligned images (178x218), where "CelebA at
# 64x64" is a different set of images with each of them.
NAMED_CROPS = {
    "auto": "the largest centre square",
    "center:178": "mimicry; PyTorch's DCGAN tutorial",  # the tutorial's resize and centre crop give the same region
    "center:160": "compare_gan",
    "center:148": "papers on VAEs",
    "center:140": "NCSN",
    "center:128": "for LFW, deep-funneled",
    "center:108": "DCGAN-tensorflow",
    "box:25,57,128,128": "PGGAN; DDIM",  # 128x128 around (89, 121)
}


@dataclass(frozen=True)
class Crop:
    """A square region of an image."""

    kind: str  # "auto" (the largest centre square), "none" (the full image), "center" or "box"
    values: tuple[int, ...] = ()  # (N,) for "center", (X, Y, W, H) for "box", in pixels; else empty

    def region(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom; raises DataError for an image too small, or not square where it must be."""
        size = f"{width}x{height}"
        if self.kind == "box":
            x, y, w, h = self.values
            if x + w > width or y + h > height:
                raise DataError(f"the image ({size}) does not contain the crop box:{x},{y},{w},{h}")
            return x, y, x + w, y + h
        if self.kind == "none" and width != height:
            raise DataError(f"the image is not square ({size}), as crop none requires")
        side = self.values[0] if self.kind == "center" else min(width, height)
        if side > min(width, height):
            raise DataError(f"the image ({size}) is smaller than the crop center:{side}")
        # An odd margin is halved to the even number, as torchvision's CenterCrop does.
        left, top = round((width - side) / 2), round((height - side) / 2)
        return left, top, left + side, top + side

    def apply(self, image: Image.Image, resolution: int, filter: str = "bicubic") -> Image.Image:
        """Crop the region, so that no pixel outside contributes, and resize it, antialiased; raises as `region`."""
        return image.crop(self.region(*image.size)).resize((resolution, resolution), FILTERS[filter])


def parse_crop(text: str) -> Crop:
    """Parse "auto", "none", "center:N" or "box:X,Y,W,H"; raises ConfigError."""
    if re.fullmatch(CROP_PATTERN, text, re.ASCII):
        kind, _, numbers = text.partition(":")
        values = tuple(map(int, numbers.split(","))) if numbers else ()
        if kind != "box" or values[2] == values[3]:
            return Crop(kind, values)
    raise ConfigError(f"config: data.crop is {quoted(text)}; it must be auto, none, center:N or box:X,Y,W,H")
