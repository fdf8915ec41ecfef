"""The renderer: attributes to images, a batch at a time, back to front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import body, features, hair
from .attributes import Attributes
from .canvas import Canvas

DRAWING_VERSION = 2  # raise it whenever a pixel or an attribute changes: packed copies are keyed by it
MIN_RESOLUTION, MAX_RESOLUTION = 16, 512
_SMALLEST_DRAWN = 64  # below it, faces are drawn larger and averaged: an eye needs more than three pixels
_TILE_PIXELS = 8 * 64 * 64  # painted at a time, so that a layer stays in the processor's cache


def render(look: Attributes, resolution: int) -> NDArray[np.uint8]:
    """Draw N faces, uint8 (N, resolution, resolution, 3) in sRGB, at 16 to 512 pixels a side; raises ValueError."""
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ValueError(f"drawn: resolution must be from {MIN_RESOLUTION} to {MAX_RESOLUTION} (got {resolution})")
    images = np.empty((len(look), resolution, resolution, 3), dtype=np.uint8)
    factor = -(-_SMALLEST_DRAWN // resolution)
    size = resolution * factor
    step = max(1, _TILE_PIXELS // size**2)
    # Like hair with like hair: a layer that no face of a tile needs is skipped, and the hair takes less room.
    order = np.argsort(look.hair_style, kind="stable")
    for start in range(0, len(look), step):
        tile = order[start : start + step]
        rgb = _paint(look.take(tile), size)
        if factor > 1:
            rgb = rgb.reshape(len(rgb), 3, resolution, factor, resolution, factor).mean(axis=(3, 5))
        rgb *= 255
        rgb += 0.5
        images[tile] = rgb.astype(np.uint8).transpose(0, 2, 3, 1)
    return images


def _paint(look: Attributes, size: int) -> NDArray[np.float32]:
    """Return (N, 3, size, size) in [0, 1]: every layer, back to front."""
    canvas = Canvas.blank(look, size)
    outline = body.head_distance(canvas, look)
    head = canvas.cover(outline)
    locks = hair.measure(canvas, look, outline)
    body.paint_background(canvas, look)
    hair.paint_back(canvas, look, locks)
    body.paint_shoulders(canvas, look)
    body.paint_neck(canvas, look)
    body.paint_ears(canvas, look)
    body.paint_head(canvas, look, head)
    features.paint_cheeks(canvas, look)
    features.paint_facial_hair(canvas, look, head)
    features.paint_mouth(canvas, look)
    features.paint_nose(canvas, look)
    features.paint_eyes(canvas, look)
    hair.paint_shadow(canvas, look, locks, head)
    hair.paint_front(canvas, look, locks)
    features.paint_brows(canvas, look)
    features.paint_glasses(canvas, look)
    return canvas.rgb
