"""The Laplacian pyramid of images: bands of detail, each half the size of the one before, and what is left.

Source: Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983; with the binomial kernel
(1, 4, 6, 4, 1) / 16 in both directions, and borders mirrored about the outermost pixels (dcb|abcd|cba).
"""

import torch
from torch import Tensor
from torch.nn.functional import pad


def sizes(height: int, width: int, smallest: int = 16) -> list[tuple[int, int]]:
    """The (height, width) of each level, from the whole image down to the last whose shorter side is `smallest`.

    Returns:
        One at least, if the image itself is smaller; 64 x 64 has the levels 64, 32 and 16.
    """
    found = [(height, width)]
    while min(_half(height), _half(width)) >= smallest:
        height, width = _half(height), _half(width)
        found.append((height, width))
    return found


def laplacian(pictures: Tensor, level: int, num_levels: int) -> Tensor:
    """One level of the pyramid of images (N, C, H, W), float, at least 3 pixels wide and high at every level.

    Args:
        pictures: What is taken apart.
        level: 0: the finest detail; num_levels - 1: the low-pass rest.
        num_levels: How many the pyramid has.
    """
    for _ in range(level):
        pictures = shrink(pictures)
    if level == num_levels - 1:
        return pictures
    return pictures - enlarge(shrink(pictures), *pictures.shape[2:])


def shrink(pictures: Tensor) -> Tensor:
    """Low-pass, and every second pixel of every second row: (N, C, H, W) to (N, C, ceil(H / 2), ceil(W / 2))."""
    return _blur(pictures, step=2) / 256


def enlarge(pictures: Tensor, height: int, width: int) -> Tensor:
    """The reverse: pixels of (N, C, ceil(H / 2), ceil(W / 2)) set among zeros, low-passed and four times as bright."""
    sparse = pictures.new_zeros(*pictures.shape[:2], height, width)
    sparse[:, :, ::2, ::2] = pictures
    return _blur(sparse, step=1) / 64


def _half(length: int) -> int:
    return (length + 1) // 2


def _blur(pictures: Tensor, step: int) -> Tensor:
    """256 times the low-pass, at every `step`-th pixel.

    Sums of shifted images: faster than a convolution of one channel, and of full precision on every device.
    """
    height, width = pictures.shape[2:]
    rows = pad(pictures, (2, 2, 2, 2), mode="reflect")
    a, b, c, d, e = (rows[:, :, :, shift : shift + width : step] for shift in range(5))
    rows = torch.add(a + e, b + d, alpha=4).add_(c, alpha=6)
    a, b, c, d, e = (rows[:, :, shift : shift + height : step] for shift in range(5))
    return torch.add(a + e, b + d, alpha=4).add_(c, alpha=6)
