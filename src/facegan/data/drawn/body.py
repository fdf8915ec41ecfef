"""What lies around the features: background, shoulders, neck, ears and the head itself."""

from __future__ import annotations

import numpy as np

from facegan.data.drawn.attributes import Attributes, Floats, code, ears_show
from facegan.data.drawn.canvas import Canvas, box, circle, clip, column, ellipse, segment, soft
from facegan.data.drawn.palette import BACKGROUND, TOP, WHITE, mix, shade, skin_colour, skin_shade

# Half width, chin, taper towards the chin and squareness of the jaw, per face shape.
_SHAPES = np.array(
    [
        [0.50, 0.63, 0.10, 0.15],
        [0.54, 0.58, 0.00, 0.15],
        [0.505, 0.61, 0.00, 0.60],
        [0.525, 0.64, 0.24, 0.20],
        [0.475, 0.67, 0.08, 0.30],
    ],
    dtype=np.float32,
)
_TOP_OF_HEAD = 0.64


def paint_background(canvas: Canvas, look: Attributes) -> None:
    """Fill the frame: plain, a gradient, or a disc behind the head."""
    colour = BACKGROUND[look.background]
    canvas.rgb[:] = colour[:, :, None, None]
    disc = look.backdrop == code("backdrop", "disc")
    sharp = np.float32(canvas.rgb.shape[3] / 2)
    round_cover = clip(np.float32(0.5) - circle(canvas.frame_x, canvas.frame_y, np.float32(0.86)) * sharp)
    cover = np.where(column(disc) > 0, round_cover, (canvas.frame_y + 1) * np.float32(0.25))
    cover *= column(look.backdrop != code("backdrop", "plain"))
    canvas.paint(cover, np.where(disc[:, None], mix(colour, WHITE, 0.5), mix(colour, (0.55, 0.45, 0.6), 0.35)))


def head_distance(canvas: Canvas, look: Attributes) -> Floats:
    """Return the distance to the outline of the head."""
    half, chin, taper, squareness = (column(values) for values in _SHAPES[look.face_shape].T)
    below = clip(canvas.y / chin)
    x = canvas.x / (1 - taper * below * below)
    lower = canvas.y > 0
    return ellipse(
        x,
        canvas.y,
        half,
        np.where(lower, chin, np.float32(_TOP_OF_HEAD)),
        np.where(lower, squareness, np.float32(0.15)),
    )


def paint_shoulders(canvas: Canvas, look: Attributes) -> None:
    """Paint the garment, its neckline and the neck."""
    low = canvas.window(-1, 1, 0.3, 1)
    x = low.frame_x - 2 * column(look.shift_x)
    y = low.frame_y - 2 * column(look.shift_y)
    sharp = np.float32(canvas.rgb.shape[3] / 2)
    low = low._replace(sharp=np.full_like(canvas.sharp, sharp))
    skin = skin_colour(look)
    colour = TOP[look.top_colour]
    body = box(x, y - np.float32(1.35), np.float32(0.88), np.float32(0.55), np.float32(0.36))
    cover = low.cover(body)
    low.paint(cover, colour)
    striped = column(look.top == code("top", "striped"))
    stripe = clip(
        (np.abs((y * np.float32(5.5)) % 1 - np.float32(0.5)) - np.float32(0.25)) / np.float32(5.5) * sharp
        + np.float32(0.5)
    )
    low.paint(cover * stripe * striped, mix(colour, WHITE, 0.7))
    light = column(look.light)
    low.paint(cover * soft(np.float32(0.1) - x * light) * np.float32(0.35), shade(colour, 0.55))
    # The neckline: round, or pointed for a V.
    pointed = column((look.top == code("top", "v-neck")) | (look.top == code("top", "shirt")))
    deep = y - np.float32(0.78)
    round_neck = ellipse(x, deep, np.float32(0.27), np.float32(0.15))
    pointed_neck = np.maximum(
        np.abs(x) * np.float32(0.8) + deep * np.float32(0.6) - np.float32(0.16), -deep - np.float32(0.1)
    )
    neckline = pointed_neck * pointed + round_neck * (1 - pointed)
    low.paint(low.cover(neckline - np.float32(0.035)) * np.maximum(cover, 1 - pointed), shade(colour, 0.2))
    low.paint(low.cover(neckline) * np.maximum(cover, 1 - pointed), skin)
    low.fill(_neck(x, y), skin)
    collar = segment(np.abs(x), y, (np.float32(0.245), np.float32(0.72)), (np.float32(0.075), np.float32(0.95)))
    flap = low.cover(collar - np.float32(0.058)) * column(look.top == code("top", "shirt"))
    low.paint(flap, mix(colour, WHITE, 0.4))


def _neck(x: Floats, y: Floats) -> Floats:
    return box(x, y - np.float32(0.6), np.float32(0.205), np.float32(0.3), np.float32(0.1))


def paint_neck_shadow(canvas: Canvas, look: Attributes) -> None:
    """Paint the shadow of the chin on the neck."""
    low = canvas.window(-0.4, 0.4, 0.3, 1)
    half, chin, _, _ = (column(values) for values in _SHAPES[look.face_shape].T)
    x = low.frame_x - 2 * column(look.shift_x)
    y = low.frame_y - 2 * column(look.shift_y)
    neck = low.cover(_neck(x, y))
    below = ellipse(low.x + np.float32(0.05) * column(look.light), low.y - np.float32(0.1), half, chin)
    low.paint(neck * low.cover(below), skin_shade(skin_colour(look)))


def paint_ears(canvas: Canvas, look: Attributes) -> None:
    """Paint the ears that the hair leaves free, with earrings where worn."""
    chosen = ears_show(look.hair_style)
    if not chosen.any():
        return
    whole, look = canvas, look.take(chosen)
    canvas = whole.take(chosen)
    half = column(_SHAPES[look.face_shape][:, 0])
    skin = skin_colour(look)
    for side in (-1, 1):
        part = canvas.window(-0.85, -0.2, -0.4, 0.6) if side < 0 else canvas.window(0.2, 0.85, -0.4, 0.6)
        x = part.x * side - half + side * column(look.turn) * np.float32(0.04)
        y = part.y - np.float32(0.06)
        part.fill(ellipse(x, y, 0.1, 0.145), skin)
        part.fill(ellipse(x - np.float32(0.015), y, 0.055, 0.09), skin_shade(skin))
        ring = column(look.earrings)
        part.paint(part.cover(circle(x - np.float32(0.03), y - np.float32(0.19), 0.05)) * ring, (0.98, 0.8, 0.32))
    whole.rgb[chosen] = canvas.rgb


def paint_head(canvas: Canvas, look: Attributes, head: Floats) -> None:
    """Paint the face with its light and shadow; head is its coverage."""
    rows, columns = canvas.rows_and_columns(-0.76, 0.76, -0.84, 0.96)
    canvas, head = canvas.window(-0.76, 0.76, -0.84, 0.96), head[:, rows, columns]
    skin = skin_colour(look)
    dark = skin_shade(skin)
    canvas.paint(head, skin)
    light = column(look.light)
    x, y = canvas.x, canvas.y
    away = np.sqrt(
        np.square((x - light * np.float32(0.16)) / np.float32(0.56))
        + np.square((y + np.float32(0.06)) / np.float32(0.70))
    )
    canvas.paint(head * soft((away - np.float32(0.74)) * np.float32(2.6)) * np.float32(0.8), dark)
    glow = soft(1 - np.sqrt(np.square(x - light * np.float32(0.2)) + np.square(y + np.float32(0.3))) * np.float32(2.6))
    canvas.paint(head * glow * np.float32(0.35), mix(skin, WHITE, 0.5))
