"""Convert images in [-1, 1] to 8-bit pixels and back."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def to_uint8(images: "Tensor") -> "Tensor":
    """Map images in [-1, 1] to 0..255 by round((x + 1) * 127.5); values outside are clamped.

    The map is the same for every image, never stretched to a batch's own extremes, and undone exactly by `to_float`.
    """
    import torch  # callers with tensors have imported it; files and grids alone do not need it

    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_float(pixels: "Tensor") -> "Tensor":
    """Map pixels 0..255 to float32 in [-1, 1]: x / 127.5 - 1."""
    return pixels.float() / 127.5 - 1
