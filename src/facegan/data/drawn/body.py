"""The body: background, shoulders, neck, ears and head."""

from __future__ import annotations

import numpy as np

from .attributes import Attributes, Floats, code, ears_show, is_any_of
from .canvas import Canvas, Window, box, circle, clip, column, ellipse, segment, smoothstep
from .palette import BACKGROUND, TOP, WHITE, mix, shade, skin_colour, skin_shade

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
_STRIPES = 5.5  # pairs of stripes per half frame

_SHOULDERS = Window(-1, 1, 0.4, 1)
_NECK = Window(-0.36, 0.36, 0.3, 1)
_EARS = {-1: Window(-0.94, -0.14, -0.32, 0.6), 1: Window(0.14, 0.94, -0.32, 0.6)}
_HEAD = Window(-0.82, 0.82, -0.86, 0.94)


def paint_background(canvas: Canvas, look: Attributes) -> None:
    """Fill the frame: plain, a gradient, or a disc behind the head."""
    colour = BACKGROUND[look.background]
    canvas.rgb[:] = colour[:, :, None, None]
    disc = look.backdrop == code("backdrop", "disc")
    sharp = canvas.rgb.shape[3] / 2
    round_cover = clip(0.5 - circle(canvas.frame_x, canvas.frame_y, 0.86) * sharp)
    for chosen, cover, other in (
        (disc, round_cover, mix(colour, WHITE, 0.5)),
        (look.backdrop == code("backdrop", "gradient"), (canvas.frame_y + 1) / 4, mix(colour, (0.55, 0.45, 0.6), 0.35)),
    ):
        canvas.rgb[chosen] += cover[:, None] * (other - colour)[chosen][:, :, None, None]


def head_distance(canvas: Canvas, look: Attributes) -> Floats:
    """Return the distance to the outline of the head."""
    half, chin, taper, squareness = (column(values) for values in _SHAPES[look.face_shape].T)
    below = clip(canvas.y * (1 / chin))
    lower = canvas.y > 0
    x = canvas.x / (1 - taper * below * below)
    y = canvas.y * np.where(lower, _TOP_OF_HEAD / chin, np.float32(1))  # the chin brought to the height of the top
    return ellipse(x, y, half, _TOP_OF_HEAD, np.where(lower, squareness, np.float32(0.15)))


def paint_shoulders(canvas: Canvas, look: Attributes) -> None:
    """Paint the garment and its neckline; it moves with the head but does not tilt."""
    colour = TOP[look.top_colour]
    with canvas.part(_SHOULDERS) as part:
        part = part.upright()
        x, y = _upright(part, look)
        cloth = part.cover(box(x, y - 1.35, 0.88, 0.55, 0.36))
        part.paint(cloth, colour)
        dark_side = smoothstep(0.1 - x * column(look.light))
        part.paint(cloth * dark_side * 0.35, shade(colour, 0.55))
        for words, paint in ((("striped",), _paint_stripes), (("v-neck", "shirt"), _paint_pointed_neck)):
            chosen = is_any_of(look.top, "top", words)
            if chosen.any():
                with part.part(chosen=chosen) as some:
                    paint(some, look.take(chosen), x[chosen], y[chosen], cloth[chosen])
        chosen = is_any_of(look.top, "top", ("crew", "striped"))
        if chosen.any():
            with part.part(chosen=chosen) as some:
                neckline = ellipse(x[chosen], y[chosen] - 0.78, 0.27, 0.15)
                some.fill(neckline - 0.035, shade(colour[chosen], 0.2))
                some.fill(neckline, skin_colour(look)[chosen])


def _upright(canvas: Canvas, look: Attributes) -> tuple[Floats, Floats]:
    return canvas.frame_x - 2 * column(look.shift_x), canvas.frame_y - 2 * column(look.shift_y)


def _paint_stripes(part: Canvas, look: Attributes, x: Floats, y: Floats, cloth: Floats) -> None:
    wave = np.abs((y * _STRIPES) % 1 - 0.5) - 0.25
    colour = mix(TOP[look.top_colour], WHITE, 0.7)
    light = column(look.light)
    part.paint(cloth * part.cover(wave / -_STRIPES) * (1 - 0.25 * smoothstep(0.1 - x * light)), colour)


def _paint_pointed_neck(part: Canvas, look: Attributes, x: Floats, y: Floats, cloth: Floats) -> None:
    colour = TOP[look.top_colour]
    off_centre = np.abs(x)
    opening = np.maximum(off_centre * 0.8 + y * 0.6 - 0.63, 0.68 - y)
    part.paint(part.cover(opening - 0.035) * cloth, shade(colour, 0.2))
    part.paint(part.cover(opening) * cloth, skin_colour(look))
    collar = part.cover(segment(off_centre, y, (0.245, 0.74), (0.085, 0.95)) - 0.058)
    part.paint(collar * column(look.top == code("top", "shirt")), mix(colour, WHITE, 0.4))


def paint_neck(canvas: Canvas, look: Attributes) -> None:
    """Paint the neck and the shadow of the chin on it."""
    skin = skin_colour(look)
    half, chin, _, _ = (column(values) for values in _SHAPES[look.face_shape].T)
    with canvas.part(_NECK) as part:
        x, y = _upright(part, look)
        neck = part.upright().cover(box(x, y - 0.6, 0.205, 0.3, 0.1))
        part.paint(neck, skin)
        chin_shadow = ellipse(part.x + 0.05 * column(look.light), part.y - 0.1, half, chin)
        part.paint(neck * part.cover(chin_shadow), skin_shade(skin))


def paint_ears(canvas: Canvas, look: Attributes) -> None:
    """Paint the ears that the hair leaves free, with earrings where worn."""
    chosen = ears_show(look.hair_style)
    if not chosen.any():
        return
    look = look.take(chosen)
    skin = skin_colour(look)
    half = column(_SHAPES[look.face_shape][:, 0])
    for side, window in _EARS.items():
        with canvas.part(window, chosen) as part:
            x, y = part.x * side - half + side * column(look.turn) * 0.04, part.y - 0.06
            part.fill(ellipse(x, y, 0.1, 0.145), skin)
            part.fill(ellipse(x - 0.015, y, 0.055, 0.09), skin_shade(skin))
            ring = part.cover(circle(x - 0.03, y - 0.19, 0.05))
            part.paint(ring * column(look.earrings), (0.98, 0.8, 0.32))


def paint_head(canvas: Canvas, look: Attributes, head: Floats) -> None:
    """Paint the face with its light and shadow; head is its coverage."""
    skin = skin_colour(look)
    light = column(look.light)
    rows, columns = canvas.pixels(_HEAD)
    head = head[:, rows, columns]
    with canvas.part(_HEAD) as part:
        part.paint(head, skin)
        away = np.sqrt(np.square((part.x - light * 0.16) * (1 / 0.56)) + np.square((part.y + 0.06) * (1 / 0.70)))
        part.paint(head * smoothstep((away - 0.74) * 2.6) * 0.8, skin_shade(skin))
        glow = smoothstep(1 - circle(part.x - light * 0.2, part.y + 0.3, 0.0) * 2.6)
        part.paint(head * glow * 0.35, mix(skin, WHITE, 0.5))
