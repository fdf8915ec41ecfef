"""The colours, in sRGB; each table follows the order of its category."""

from __future__ import annotations

import numpy as np

from .attributes import Attributes, Floats


def _table(*codes: str) -> Floats:
    return np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in codes], dtype=np.float32) / 255


BACKGROUND = _table("efd8b0", "f7c9a9", "b9dfcd", "b5d6ee", "cfc0ea", "f9dc8f", "f3b8bf", "aebf9a", "8fa6cb")
SKIN = _table("fde3d0", "f8d0b4", "f2bd96", "e3a97e", "cf9163", "b57a4e", "97623f", "754730", "573326")
HAIR = _table("2b2530", "46302a", "6e452f", "8f4328", "cf6a30", "e3b25f", "f0dcae", "a3a3aa", "e58aa6", "4c9a9c")
IRIS = _table("6b4226", "98703a", "4f8a4c", "3f86c4", "7b8ea0")
TOP = _table("f0705a", "e9ac3a", "2f9c95", "34466f", "7d4a7f", "3f7550", "f4f1ea", "b4503c")

INK = (0.17, 0.12, 0.14)
WHITE = (1.0, 1.0, 0.99)


def skin_colour(look: Attributes) -> Floats:
    """Return the skin's base colour, (N, 3)."""
    return mix(SKIN[look.skin], (1.0, 0.93, 0.86), 0.05 + 0.05 * look.skin_light)


def skin_shade(skin: Floats) -> Floats:
    """Return the skin in shadow: darker and redder, never grey."""
    return skin * np.array([0.84, 0.71, 0.68], dtype=np.float32)


def mix(colour: Floats, other: tuple[float, float, float] | Floats, share: float | Floats) -> Floats:
    """Return the colour moved towards another, (N, 3); share is a number or one per face."""
    amount = np.asarray(share, dtype=np.float32)[..., None]
    return colour + amount * (np.asarray(other, dtype=np.float32) - colour)


def shade(colour: Floats, amount: float) -> Floats:
    """Return the colour in shadow, a little towards a warm violet; amount 0 leaves it alone."""
    return mix(colour, (0.20, 0.10, 0.20), amount)
