"""Hair: one silhouette and one opening for the face per style, plus curls, a bun or bunches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .attributes import CATEGORIES, Attributes, Flags, Floats, code, is_any_of
from .canvas import FULL_FRAME, Canvas, Window, box, circle, clip, column, ellipse, intersection, smoothstep, union
from .palette import HAIR, WHITE, mix, shade, skin_colour, skin_shade


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
    "long": _Cut(-0.08, 0.61, 0.71, 0.61, 1.3, 0.2, line=-0.50, curve=1.0, side=0.45, flare=0.02, end=2.0),
    "wavy": _Cut(-0.08, 0.62, 0.72, 0.60, 0.9, 0.3, line=-0.42, slope=0.34, curve=0.45, side=0.45, flare=0.05, end=1.0),
    "curly": _Cut(-0.16, 0.62, 0.66, 0.5, 0.2, 0.3, line=-0.37, curve=0.3, side=0.46, end=0.25),
    "bun": _Cut(-0.08, 0.56, 0.66, line=-0.43, curve=0.5, side=0.47, end=0.0),
    "bunches": _Cut(-0.08, 0.57, 0.68, line=-0.48, curve=0.8, side=0.465, end=0.02),
}
_TABLE = np.array([_CUTS[style] for style in CATEGORIES["hair_style"]], dtype=np.float32)

# Where bumps of hair sit, as (x, y, radius). Curls and waves are those of one side, which the other side mirrors.
_CURLS = (
    *((0.0, -0.74, 0.21), (0.25, -0.70, 0.20), (0.45, -0.56, 0.20)),
    *((0.58, -0.34, 0.20), (0.63, -0.09, 0.19), (0.59, 0.14, 0.17)),
)
_FRINGE_CURLS = ((0.0, -0.43, 0.12), (0.2, -0.42, 0.12), (0.37, -0.35, 0.12))
_WAVES = ((0.54, 0.08, 0.16), (0.57, 0.38, 0.17), (0.58, 0.70, 0.18), (0.55, 1.02, 0.18))
_QUIFF = ((0.14, -0.64, 0.25), (-0.17, -0.58, 0.24), (0.34, -0.52, 0.21))
_SHADOW = (-0.82, 0.82, -0.86, 0.4)
_CAP = (-1, 1, -1, 0.4)  # holds all of the hair that does not fall


class Hair(NamedTuple):
    """The hair of N faces, measured once: it is painted behind the head and again in front of it."""

    silhouette: Floats  # (N, H, W), the distance to its outline
    opening: Floats  # (N, H, W), the distance to the opening for the face
    dome: Floats  # (N, H, W), 0 at the middle of the cap and 1 on its edge
    window: Window  # what the arrays cover: all of the frame, or the upper part where that holds all the hair
    end: Floats  # (N, 1, 1), where hair in front of the head ends
    colour: Floats  # (N, 3)


def measure(canvas: Canvas, look: Attributes, head: Floats) -> Hair:
    """Return the hair's shape and colour; head is the distance to the outline of the head."""
    falls = _falls(look)
    window = FULL_FRAME if falls.any() else _CAP
    rows, columns = canvas.pixels(window)
    canvas, head = canvas.view(window), head[:, rows, columns]
    measures = dict(zip(_Cut._fields, (column(values) for values in _TABLE[look.hair_style].T), strict=True))
    volume = column(look.hair_volume)
    a, b = measures["cap_a"] * volume, measures["cap_b"] * volume
    down = canvas.y - measures["cap_y"]
    uu, vv = np.square(canvas.x * (1 / a)), np.square(down * (1 / b))
    dome = np.sqrt(uu + vv)
    silhouette = dome * (dome - 1)
    uu *= 1 / (a * a)
    vv *= 1 / (b * b)
    uu += vv
    silhouette /= np.sqrt(uu) + np.float32(1e-6)
    if falls.any():
        half = (measures["bottom"] - measures["cap_y"])[falls] / 2
        width, corner = (measures["fall_a"] * volume)[falls], np.minimum(measures["corner"][falls], half)
        fall = box(canvas.x[falls], down[falls] - half, width, half, corner)
        silhouette[falls] = union(silhouette[falls], fall, 0.04)
    across = canvas.x - 0.05 * column(look.turn)
    facing = across * column(look.part)
    off = facing - measures["part"]
    hairline = measures["line"] + measures["slope"] * facing + measures["curve"] * (off * off)
    off_centre = np.abs(across)
    opening = intersection(
        hairline - canvas.y, off_centre - (measures["side"] + measures["flare"] * np.maximum(canvas.y, 0)), 0.16
    )
    for style, bumps, blend in (("curly", _CURLS, 0.02), ("wavy", _WAVES, 0.08), ("quiff", _QUIFF, 0.16)):
        chosen = look.hair_style == code("hair_style", style)
        if chosen.any():
            x = facing[chosen] if style == "quiff" else np.abs(canvas.x[chosen])
            silhouette[chosen] = _bumps(silhouette[chosen], x / volume[chosen], canvas.y[chosen], bumps, blend)
    chosen = look.hair_style == code("hair_style", "curly")
    if chosen.any():
        opening[chosen] = -_bumps(-opening[chosen], off_centre[chosen], canvas.y[chosen], _FRINGE_CURLS, 0.02)
    # Hair that ends at the temples leaves no gap next to the head.
    np.maximum(opening, np.where(column(falls) > 0, np.float32(-9), head), out=opening)
    return Hair(silhouette, opening, dome, window, measures["end"], HAIR[look.hair_colour])


def _falls(look: Attributes) -> Flags:
    """Return whether the hair hangs behind the neck."""
    return is_any_of(look.hair_style, "hair_style", [style for style, cut in _CUTS.items() if cut.bottom > 0])


def _bumps(
    distance: Floats, x: Floats, y: Floats, bumps: tuple[tuple[float, float, float], ...], blend: float
) -> Floats:
    for bump_x, bump_y, radius in bumps:
        distance = union(distance, circle(x - bump_x, y - bump_y, radius), blend)
    return distance


def paint_back(canvas: Canvas, look: Attributes, hair: Hair) -> None:
    """Paint the hair that hangs behind the neck, and a bun or bunches."""
    chosen = _falls(look)
    for part in canvas.part(chosen=chosen):
        part.fill(hair.silhouette[chosen], shade(hair.colour[chosen], 0.28))
    chosen = look.hair_style == code("hair_style", "bun")
    for part in canvas.part(chosen=chosen):
        knot = circle(part.x, part.y + 0.8, 0.19)
        part.fill(knot, hair.colour[chosen])
        coil = part.stroke(circle(part.x, part.y + 0.76, 0.12), 0.012)
        part.paint(coil * part.cover(knot), shade(hair.colour[chosen], 0.3))
    chosen = look.hair_style == code("hair_style", "bunches")
    for part in canvas.part(chosen=chosen):
        x = np.abs(part.x) - 0.68
        part.fill(ellipse(x, part.y - 0.16, 0.17, 0.32), shade(hair.colour[chosen], 0.1))
        part.fill(circle(x + 0.06, part.y + 0.16, 0.06), (0.93, 0.42, 0.42))


def paint_shadow(canvas: Canvas, look: Attributes, hair: Hair, head: Floats) -> None:
    """Paint the soft shadow that the hair casts on the face; head is its coverage."""
    rows, columns = canvas.pixels(_SHADOW)
    for part in canvas.part(_SHADOW):
        near = smoothstep(1 + hair.opening[:, rows, columns] * 9)
        near *= clip((0.1 - part.y) * 4)
        near *= head[:, rows, columns]
        near *= column(look.hair_style != code("hair_style", "bald")) * 0.55
        part.paint(near, skin_shade(skin_colour(look)))


def paint_front(canvas: Canvas, look: Attributes, hair: Hair) -> None:
    """Paint the hair that lies on the head, with its strands and sheen."""
    for part in canvas.part(hair.window):
        cover = part.cover(intersection(intersection(hair.silhouette, -hair.opening), part.y - hair.end, 0.05))
        cover *= column(np.where(look.hair_style == code("hair_style", "buzz"), 0.8, 1.0))
        part.paint(cover, hair.colour)
        x = part.x
        lit = x * column(look.light)
        # Strands fan out from the crown; r / (1 + |r|) keeps them apart where they run level.
        fan = x - 0.08 * column(look.part)
        fan /= np.maximum(part.y + 0.98, 0.12)
        fan /= 1 + np.abs(fan)
        fan *= 7.5
        fan -= np.floor(fan)
        fan -= 0.5
        strand = smoothstep(np.abs(fan) * 4 - 1)
        strand *= column(is_any_of(look.hair_style, "hair_style", ("buzz", "curly"))) * -0.13 + 0.13
        dark = smoothstep(0.2 - 1.3 * lit)
        dark *= 0.3
        dark += strand
        dark *= cover
        part.paint(dark, shade(hair.colour, 0.6))
        band = smoothstep(1 - np.abs(hair.dome - 0.8) * 9)
        band *= clip((-0.22 - part.y) * 5)
        band *= smoothstep(0.45 + 1.2 * lit)
        band *= cover
        part.paint(band * 0.5, mix(hair.colour, WHITE, 0.55))
