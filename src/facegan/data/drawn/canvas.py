"""A batch of images to paint on, and the shapes to paint: signed distances and their coverage.

Pixel arithmetic uses only operations that IEEE 754 rounds correctly (+ - * / sqrt, min, max), so that a pixel does not
depend on its place in a batch. Distances are in head units (half a frame wide is 1), negative inside.

Source: Quilez, "2D distance functions" and "smooth minimum", iquilezles.org, 2008-2024, for the shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .attributes import Attributes, Flags, Floats

Colour = tuple[float, float, float] | Floats
Number = float | Floats

HEAD_Y = 0.07  # the middle of the face lies below the middle of the frame: the hair is taller than the chin
_PIVOT_Y = 0.5  # the head tilts about the neck


# A part of the frame, large enough for a feature wherever the head may be: left, right, top, bottom in -1 to 1.
Window = tuple[float, float, float, float]
FULL_FRAME = (-1.0, 1.0, -1.0, 1.0)


class Canvas(NamedTuple):
    """N images with their coordinates; slices of it share the pixels."""

    rgb: Floats  # (N, 3, H, W) in [0, 1]
    frame_x: Floats  # (1, 1, W) in [-1, 1], left to right
    frame_y: Floats  # (1, H, 1) in [-1, 1], top to bottom
    x: Floats  # (N, H, W), the head's own coordinates: shifted, scaled and tilted with it
    y: Floats  # (N, H, W)
    sharp: Floats  # (N, 1, 1), pixels per head unit

    @classmethod
    def blank(cls, look: Attributes, resolution: int) -> Canvas:
        """Return a canvas for these faces, its pixels not yet painted."""
        centres = ((np.arange(resolution, dtype=np.float32) + 0.5) * np.float32(2 / resolution)) - 1
        frame_x, frame_y = centres[None, None, :], centres[None, :, None]
        half = column(look.tilt) * np.float32(np.pi / 360)
        half = half + half * half * half / 3  # tan(tilt / 2)
        cos, sin = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
        scale = column(look.scale)
        across = (frame_x - 2 * column(look.shift_x)) / scale
        down = (frame_y - 2 * column(look.shift_y) - np.float32(HEAD_Y + _PIVOT_Y)) / scale
        x, y = cos * across + sin * down, cos * down - sin * across + np.float32(_PIVOT_Y)
        rgb = np.empty((len(look), 3, resolution, resolution), dtype=np.float32)
        return cls(rgb, frame_x, frame_y, x, y, np.float32(resolution / 2) * scale)

    def part(self, window: Window = FULL_FRAME, chosen: Flags | None = None) -> Iterator[Canvas]:
        """Yield a copy of a window of the chosen images (default: all) once, if there are any, and write it back.

        numpy is several times faster on a copy, whose pixels are contiguous.
        """
        if chosen is not None and not chosen.any():
            return
        chosen = None if chosen is None or chosen.all() else chosen
        if chosen is None and window == FULL_FRAME:
            yield self
            return
        faces = slice(None) if chosen is None else chosen
        view = self.view(window)
        rgb, x, y = (np.ascontiguousarray(values[faces]) for values in (view.rgb, view.x, view.y))
        yield Canvas(rgb, view.frame_x, view.frame_y, x, y, self.sharp[faces])
        view.rgb[faces] = rgb

    def view(self, window: Window) -> Canvas:
        """Return a window of the same pixels."""
        rows, columns = self.pixels(window)
        rgb, x, y = (values[..., rows, columns] for values in (self.rgb, self.x, self.y))
        return Canvas(rgb, self.frame_x[..., columns], self.frame_y[:, rows], x, y, self.sharp)

    def pixels(self, window: Window) -> tuple[slice, slice]:
        """Return the rows and columns of a window."""
        height, width = self.rgb.shape[2:]
        left, right, top, bottom = ((edge + 1) / 2 for edge in window)
        rows = slice(int(top * height), min(height, int(bottom * height) + 1))
        return rows, slice(int(left * width), min(width, int(right * width) + 1))

    def upright(self) -> Canvas:
        """Return the same pixels, for shapes measured in the frame rather than in the head."""
        return self._replace(sharp=np.full_like(self.sharp, 1 / (self.frame_x[0, 0, 1] - self.frame_x[0, 0, 0])))

    def paint(self, cover: Floats, colour: Colour) -> None:
        """Blend a colour, (3,) or (N, 3), into the image by its coverage, (N, H, W) in [0, 1]."""
        layer = np.asarray(colour, dtype=np.float32)[..., None, None] - self.rgb
        layer *= cover[:, None]
        np.add(self.rgb, layer, out=self.rgb)

    def cover(self, distance: Floats) -> Floats:
        """Return the share of each pixel that lies inside: an edge one pixel wide."""
        inside = distance * -self.sharp
        inside += 0.5
        return np.clip(inside, 0, 1, out=inside)

    def stroke(self, distance: Floats, half_width: Number) -> Floats:
        """Return the share of each pixel within half_width of a line; right for lines thinner than a pixel too."""
        away = np.abs(distance)
        return self.cover(away - half_width) - self.cover(away + half_width)

    def fill(self, distance: Floats, colour: Colour) -> None:
        """Paint the inside of a shape."""
        self.paint(self.cover(distance), colour)


def column(values: NDArray[np.generic]) -> Floats:
    """Return per-face values as (N, 1, 1), to be broadcast over pixels."""
    return values.astype(np.float32)[:, None, None]


def clip(values: Floats) -> Floats:
    """Clip to [0, 1]."""
    return np.clip(values, 0, 1)


def smoothstep(values: Floats) -> Floats:
    """Return the smooth step 3t^2 - 2t^3 of values clipped to [0, 1]."""
    t = clip(values)
    rest = 3 - 2 * t
    t *= t
    t *= rest
    return t


def ellipse(x: Floats, y: Floats, a: Number, b: Number, squareness: Number = 0.0) -> Floats:
    """Return the (first-order) distance to an ellipse of half axes a and b; squareness 0..1 fills its corners.

    With u = x/a and v = y/b the outline is u^2 + v^2 - s u^2 v^2 = 1 (Fernandez-Guasti's squircle).
    """
    inverse_a, inverse_b = 1 / a, 1 / b  # per face: a product per pixel is cheaper than a quotient
    uu, vv = np.square(x * inverse_a), np.square(y * inverse_b)
    if isinstance(squareness, float) and squareness == 0.0:
        k0 = np.sqrt(uu + vv)
    else:
        k0 = np.sqrt(np.maximum(uu + vv - squareness * np.minimum(uu * vv, 1), 0))
    uu *= inverse_a * inverse_a
    vv *= inverse_b * inverse_b
    k1: Floats = np.sqrt(uu + vv)
    k1 += 1e-6
    distance: Floats = k0 * (k0 - 1)
    distance /= k1
    return distance


def circle(x: Floats, y: Floats, radius: Number) -> Floats:
    """Return the distance to a circle around the origin."""
    distance: Floats = np.sqrt(x * x + y * y)
    distance -= radius
    return distance


def box(x: Floats, y: Floats, a: Number, b: Number, corner: Number) -> Floats:
    """Return the distance to a box of half sides a and b with rounded corners."""
    dx, dy = np.abs(x) - (a - corner), np.abs(y) - (b - corner)
    outside_x, outside_y = np.maximum(dx, 0), np.maximum(dy, 0)
    inside = np.minimum(np.maximum(dx, dy), 0)
    return circle(outside_x, outside_y, corner) + inside


def segment(x: Floats, y: Floats, a: tuple[Number, Number], b: tuple[Number, Number]) -> Floats:
    """Return the distance to the line from a to b (never negative)."""
    px, py, bx, by = x - a[0], y - a[1], b[0] - a[0], b[1] - a[1]
    along = clip((px * bx + py * by) / (bx * bx + by * by))
    return circle(px - bx * along, py - by * along, 0.0)


def arc(x: Floats, y: Floats, half_width: Number, bend: Number) -> Floats:
    """Return the (first-order) distance to the parabola y = bend (x / half_width)^2, cut at its ends, round there."""
    inside = np.minimum(np.maximum(x, -half_width), half_width)
    t = inside / half_width
    slope = 2 * bend * t / half_width
    rise, beyond = y - bend * t * t, x - inside
    return np.sqrt(rise * rise / (1 + slope * slope) + beyond * beyond)


def union(a: Floats, b: Floats, blend: float = 0.0) -> Floats:
    """Return the distance to either shape, the inner corner rounded over a length of blend."""
    nearer = np.minimum(a, b)
    if blend > 0:
        h = np.maximum(blend - np.abs(a - b), 0)
        nearer -= h * h * np.float32(0.25 / blend)
    return nearer


def intersection(a: Floats, b: Floats, blend: float = 0.0) -> Floats:
    """Return the distance to the intersection of two shapes, the outer corner rounded over a length of blend."""
    return -union(-a, -b, blend)
