"""The body: background, shoulders, neck, ears and head."""

from __future__ import annotations

import numpy as np

from .attributes import EARS_SHOW, Attributes, Floats, code, is_any_of
from .canvas import Canvas, box, circle, clip, column, ellipse, segment, smoothstep
from .palette import BACKGROUND, TOP, WHITE, mix, shade, skin_colour, skin_shade

_SHAPES = np.array(  # per face shape: half width, chin, taper towards the chin and squareness of the jaw
    [
        *((0.50, 0.63, 0.10, 0.15), (0.54, 0.58, 0.00, 0.15), (0.505, 0.61, 0.00, 0.60)),
        *((0.525, 0.64, 0.24, 0.20), (0.475, 0.67, 0.08, 0.30)),
    ],
    dtype=np.float32,
)
_TOP_OF_HEAD = 0.64
_STRIPES = 5.5  # pairs of stripes per half frame
_EARS = {-1: (-0.94, -0.14, -0.32, 0.6), 1: (0.14, 0.94, -0.32, 0.6)}
_HEAD = (-0.82, 0.82, -0.86, 0.94)


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
    colour, skin = TOP[look.top_colour], skin_colour(look)
    for part in canvas.part((-1, 1, 0.4, 1)):
        part = part.upright()
        x, y = _upright(part, look)
        cloth = part.cover(box(x, y - 1.35, 0.88, 0.55, 0.36))
        part.paint(cloth, colour)
        dark_side = smoothstep(0.1 - x * column(look.light))
        part.paint(cloth * dark_side * 0.35, shade(colour, 0.55))
        chosen = look.top == code("top", "striped")
        for some in part.part(chosen=chosen):
            wave = np.abs((y[chosen] * _STRIPES) % 1 - 0.5) - 0.25
            light = 1 - 0.25 * dark_side[chosen]
            some.paint(cloth[chosen] * some.cover(wave / -_STRIPES) * light, mix(colour[chosen], WHITE, 0.7))
        chosen = is_any_of(look.top, "top", ("v-neck", "shirt"))
        for some in part.part(chosen=chosen):
            off_centre, down = np.abs(x[chosen]), y[chosen]
            opening = np.maximum(off_centre * 0.8 + down * 0.6 - 0.63, 0.68 - down)
            some.paint(some.cover(opening - 0.035) * cloth[chosen], shade(colour[chosen], 0.2))
            some.paint(some.cover(opening) * cloth[chosen], skin[chosen])
            collar = some.cover(segment(off_centre, down, (0.245, 0.74), (0.085, 0.95)) - 0.058)
            collar *= column(look.top == code("top", "shirt"))[chosen]
            some.paint(collar, mix(colour[chosen], WHITE, 0.4))
        chosen = is_any_of(look.top, "top", ("crew", "striped"))
        for some in part.part(chosen=chosen):
            neckline = ellipse(x[chosen], y[chosen] - 0.78, 0.27, 0.15)
            some.fill(neckline - 0.035, shade(colour[chosen], 0.2))
            some.fill(neckline, skin[chosen])


def _upright(canvas: Canvas, look: Attributes) -> tuple[Floats, Floats]:
    return canvas.frame_x - 2 * column(look.shift_x), canvas.frame_y - 2 * column(look.shift_y)


def paint_neck(canvas: Canvas, look: Attributes) -> None:
    """Paint the neck and the shadow of the chin on it."""
    skin = skin_colour(look)
    half, chin, _, _ = (column(values) for values in _SHAPES[look.face_shape].T)
    for part in canvas.part((-0.36, 0.36, 0.3, 1)):
        x, y = _upright(part, look)
        neck = part.upright().cover(box(x, y - 0.6, 0.205, 0.3, 0.1))
        part.paint(neck, skin)
        chin_shadow = ellipse(part.x + 0.05 * column(look.light), part.y - 0.1, half, chin)
        part.paint(neck * part.cover(chin_shadow), skin_shade(skin))


def paint_ears(canvas: Canvas, look: Attributes) -> None:
    """Paint the ears that the hair leaves free, with earrings where worn."""
    chosen = is_any_of(look.hair_style, "hair_style", EARS_SHOW)
    look = look.take(chosen)
    skin = skin_colour(look)
    half = column(_SHAPES[look.face_shape][:, 0])
    for side, window in _EARS.items():
        for part in canvas.part(window, chosen):
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
    for part in canvas.part(_HEAD):
        part.paint(head, skin)
        away = np.sqrt(np.square((part.x - light * 0.16) * (1 / 0.56)) + np.square((part.y + 0.06) * (1 / 0.70)))
        part.paint(head * smoothstep((away - 0.74) * 2.6) * 0.8, skin_shade(skin))
        glow = smoothstep(1 - circle(part.x - light * 0.2, part.y + 0.3, 0.0) * 2.6)
        part.paint(head * glow * 0.35, mix(skin, WHITE, 0.5))
