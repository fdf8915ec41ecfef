"""Hair: one silhouette and one opening for the face per style, plus curls, a bun or bunches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegan.data.drawn.attributes import CATEGORIES, Attributes, Floats, code
from facegan.data.drawn.canvas import Canvas, both, box, circle, clip, column, ellipse, soft, union
from facegan.data.drawn.palette import HAIR, WHITE, mix, shade


class _Cut(NamedTuple):
    """The measures of a style, in head units.

    The silhouette is an ellipse (cap) over a rounded box (fall) that hangs to `bottom`. The opening for the face lies
    below the hairline y = line + slope x + curve (x - part)^2 and within `side` of the middle; hair in front of the
    head ends at `end`.
    """

    cap_y: float
    cap_a: float
    cap_b: float
    fall_a: float = 0.3
    bottom: float = 0.0
    corner: float = 0.2
    line: float = -0.42
    slope: float = 0.0
    curve: float = 0.3
    part: float = 0.0
    side: float = 0.45
    flare: float = 0.0
    end: float = 0.0


_CUTS = {
    "bald": _Cut(-0.1, 0.3, 0.3, end=-2.0),
    "buzz": _Cut(-0.08, 0.535, 0.60, line=-0.40, curve=0.25, side=0.47, end=-0.02),
    "short": _Cut(-0.10, 0.575, 0.69, line=-0.40, slope=0.30, curve=0.3, side=0.455, end=0.03),
    "quiff": _Cut(-0.10, 0.565, 0.67, line=-0.43, slope=0.10, curve=0.35, side=0.46, end=0.0),
    "fringe": _Cut(-0.08, 0.62, 0.72, 0.60, 0.34, 0.18, line=-0.235, curve=0.15, side=0.43, flare=0.03, end=0.3),
    "bob": _Cut(-0.08, 0.64, 0.72, 0.645, 0.55, 0.26, line=-0.48, slope=0.1, curve=0.9, part=0.14, side=0.45, end=0.5),
    "long": _Cut(-0.08, 0.61, 0.71, 0.61, 1.3, 0.2, line=-0.50, curve=1.0, side=0.45, flare=0.06, end=2.0),
    "wavy": _Cut(-0.08, 0.62, 0.72, 0.60, 0.9, 0.3, line=-0.42, slope=0.34, curve=0.45, side=0.45, flare=0.05, end=1.0),
    "curly": _Cut(-0.16, 0.62, 0.66, 0.5, 0.2, 0.3, line=-0.37, curve=0.3, side=0.46, end=0.25),
    "bun": _Cut(-0.08, 0.56, 0.66, line=-0.43, curve=0.5, side=0.47, end=0.0),
    "bunches": _Cut(-0.08, 0.57, 0.68, line=-0.48, curve=0.8, side=0.465, end=0.02),
}
_TABLE = np.array([_CUTS[style] for style in CATEGORIES["hair_style"]], dtype=np.float32)

# Where the curls sit on one side of the head: (x, y, radius); the other side mirrors them.
_CURLS = (
    (0.0, -0.74, 0.21),
    (0.25, -0.70, 0.20),
    (0.45, -0.56, 0.20),
    (0.58, -0.34, 0.20),
    (0.63, -0.09, 0.19),
    (0.59, 0.14, 0.17),
)
# The lower edge of a curly fringe.
_FRINGE_CURLS = ((0.0, -0.43, 0.12), (0.2, -0.42, 0.12), (0.37, -0.35, 0.12))
_WAVES = ((0.54, 0.08, 0.16), (0.57, 0.38, 0.17), (0.58, 0.70, 0.18), (0.55, 1.02, 0.18))
_QUIFF = ((0.20, -0.63, 0.27), (-0.14, -0.66, 0.20))


class Hair(NamedTuple):
    """The hair of N faces, measured once: it is painted behind the head and again in front of it.

    Attributes:
        silhouette: (N, H, W), the distance to the whole of it.
        opening: (N, H, W), the distance to the opening for the face.
        dome: (N, H, W), 0 at the middle of the cap and 1 on its edge.
        end: (N, 1, 1), where hair in front of the head ends.
        colour: (N, 3).
    """

    silhouette: Floats
    opening: Floats
    dome: Floats
    end: Floats
    colour: Floats


def measure(canvas: Canvas, look: Attributes) -> Hair:
    """Return the hair's shape and colour."""
    cut = _Cut(*(column(values) for values in _TABLE[look.hair_style].T))  # type: ignore[arg-type]
    x, y = canvas.x, canvas.y
    volume = column(look.hair_volume)
    a, b = cut.cap_a * volume, cut.cap_b * volume
    down = y - cut.cap_y
    uu, vv = np.square(x / a), np.square(down / b)
    dome = np.sqrt(uu + vv)
    silhouette = dome * (dome - 1)
    silhouette /= np.sqrt(uu / (a * a) + vv / (b * b)) + np.float32(1e-6)
    falls = look.hair_style >= code("hair_style", "fringe")
    if falls.any():
        half = (cut.bottom[falls] - cut.cap_y[falls]) / 2
        corner = np.minimum(cut.corner[falls], half)
        fall = box(x[falls], down[falls] - half, cut.fall_a[falls] * volume[falls], half, corner)
        silhouette[falls] = union(silhouette[falls], fall, 0.04)
    across = x - np.float32(0.05) * column(look.turn)
    facing = across * column(look.part)
    off = facing - cut.part
    hairline = cut.line + cut.slope * facing + cut.curve * off * off
    opening = both(hairline - y, np.abs(across) - (cut.side + cut.flare * np.maximum(y, 0)), 0.16)
    for style, bumps, blend in (("curly", _CURLS, 0.02), ("wavy", _WAVES, 0.08), ("quiff", _QUIFF, 0.16)):
        chosen = look.hair_style == code("hair_style", style)
        if chosen.any():
            beside = facing[chosen] if style == "quiff" else np.abs(x[chosen])
            silhouette[chosen] = _bumps(silhouette[chosen], beside / volume[chosen], y[chosen], bumps, blend)
    chosen = look.hair_style == code("hair_style", "curly")
    if chosen.any():
        opening[chosen] = -_bumps(-opening[chosen], np.abs(across[chosen]), y[chosen], _FRINGE_CURLS, 0.02)
    return Hair(silhouette, opening, dome, cut.end, HAIR[look.hair_colour])


def _bumps(
    distance: Floats, x: Floats, y: Floats, bumps: tuple[tuple[float, float, float], ...], blend: float
) -> Floats:
    for bump_x, bump_y, radius in bumps:
        distance = union(distance, circle(x - np.float32(bump_x), y - np.float32(bump_y), np.float32(radius)), blend)
    return distance


def paint_back(canvas: Canvas, look: Attributes, hair: Hair) -> None:
    """Paint the hair that hangs behind the neck, and a bun or bunches."""
    dark = shade(hair.colour, 0.28)
    worn = (look.hair_style >= code("hair_style", "fringe")).astype(np.float32)
    canvas.paint(canvas.cover(hair.silhouette) * worn[:, None, None], dark)
    for style, paint in (("bun", _paint_bun), ("bunches", _paint_bunches)):
        chosen = look.hair_style == code("hair_style", style)
        if chosen.any():
            part = canvas.take(chosen)
            paint(part, hair.colour[chosen])
            canvas.rgb[chosen] = part.rgb


def _paint_bun(canvas: Canvas, colour: Floats) -> None:
    knot = circle(canvas.x, canvas.y + np.float32(0.8), np.float32(0.19))
    canvas.fill(knot, colour)
    inner = circle(canvas.x, canvas.y + np.float32(0.76), np.float32(0.12))
    canvas.paint(canvas.stroke(inner, 0.012) * canvas.cover(knot), shade(colour, 0.3))


def _paint_bunches(canvas: Canvas, colour: Floats) -> None:
    x = np.abs(canvas.x) - np.float32(0.68)
    canvas.fill(ellipse(x, canvas.y - np.float32(0.16), 0.17, 0.32), shade(colour, 0.1))
    canvas.fill(circle(x + np.float32(0.06), canvas.y + np.float32(0.16), 0.06), (0.93, 0.42, 0.42))


def paint_shadow(canvas: Canvas, look: Attributes, hair: Hair, head: Floats, colour: Floats) -> None:
    """Paint the soft shadow that the hair casts on the face."""
    worn = column(look.hair_style != code("hair_style", "bald"))
    near = soft(1 + hair.opening * np.float32(9)) * clip((np.float32(0.1) - canvas.y) * 4)
    canvas.paint(near * head * worn * np.float32(0.55), colour)


def paint_front(canvas: Canvas, look: Attributes, hair: Hair) -> None:
    """Paint the hair that lies on the head, with its sheen and strands."""
    x, y = canvas.x, canvas.y
    front = both(both(hair.silhouette, -hair.opening), y - hair.end, 0.05)
    cover = canvas.cover(front)
    buzz = look.hair_style == code("hair_style", "buzz")
    cover *= column(np.where(buzz, 0.8, 1.0))
    canvas.paint(cover, hair.colour)
    light = column(look.light)
    dark_side = soft(np.float32(0.2) - x * light * np.float32(1.3))
    # Strands fan out from the crown; r / (1 + |r|) keeps them apart where they run level.
    fan = (x - np.float32(0.08) * column(look.part)) / (np.maximum(y + np.float32(0.86), 0) + np.float32(0.12))
    fan /= 1 + np.abs(fan)
    fan *= np.float32(7.5)
    strand = np.abs(fan - np.floor(fan) - np.float32(0.5)) * 4 - 1
    canvas.paint(cover * clip(dark_side * np.float32(0.3) + soft(strand) * np.float32(0.13)), shade(hair.colour, 0.6))
    band = soft(1 - np.abs(hair.dome - np.float32(0.8)) * np.float32(9))
    band *= soft((np.float32(-0.25) - y) * 4)
    band *= soft(np.float32(0.45) + x * light * np.float32(1.2))
    canvas.paint(band * cover * np.float32(0.5), mix(hair.colour, WHITE, 0.55))
