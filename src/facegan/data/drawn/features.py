"""The features: cheeks, nose, mouth, beard, eyes, brows and glasses. Measures are in head units."""

from __future__ import annotations

import numpy as np

from .attributes import Attributes, Floats, code
from .canvas import Canvas, arc, box, circle, clip, column, ellipse, intersection, segment, smoothstep
from .palette import HAIR, INK, IRIS, WHITE, mix, shade, skin_colour, skin_shade

_EYE_X, _EYE_Y = 0.232, 0.045
_NOSE_Y, _MOUTH_Y = 0.25, 0.405
_TURN = 0.06  # how far the features move when the head turns
_NOSE_WIDTHS, _NOSE_BENDS = np.array([[0.085, 0.075, 0.115], [-0.03, -0.045, -0.035]])
_FRECKLES = ((-0.07, -0.03), (0.0, 0.01), (0.07, -0.04), (-0.03, 0.06), (0.05, 0.05))
_CHEEKS = (-0.74, 0.74, -0.04, 0.64)
_BEARD = (-0.82, 0.82, -0.4, 1.0)
_EYES = (-0.74, 0.74, -0.32, 0.48)


def _across(canvas: Canvas, look: Attributes) -> Floats:
    return canvas.x - _TURN * column(look.turn)


def paint_cheeks(canvas: Canvas, look: Attributes) -> None:
    """Paint blush and freckles."""
    skin = skin_colour(look)
    for part in canvas.part(_CHEEKS):
        x, y = np.abs(_across(part, look)) - 0.32, part.y - 0.25
        glow = smoothstep(1.1 - np.sqrt(np.square(x / 0.15) + np.square(y / 0.11)))
        part.paint(glow * (0.15 + 0.5 * column(look.blush)), mix(skin, (0.95, 0.32, 0.34), 0.6))
    chosen = look.freckles
    for part in canvas.part(_CHEEKS, chosen):
        x, y = x[chosen], y[chosen]
        for spot_x, spot_y in _FRECKLES:
            spot = part.cover(circle(x - spot_x, y - spot_y, 0.016))
            part.paint(spot * 0.7, skin_shade(skin_shade(skin[chosen])))


def paint_nose(canvas: Canvas, look: Attributes) -> None:
    """Paint the nose: a shaded side, a highlight and the line under its tip."""
    skin = skin_colour(look)
    dark = skin_shade(skin)
    light = column(look.light)
    for part in canvas.part((-0.40, 0.40, -0.14, 0.54)):
        x, y = part.x - 1.5 * _TURN * column(look.turn), part.y - _NOSE_Y
        straight = column(look.nose == code("nose", "straight"))
        side = segment(x + light * 0.045, y, (0.0, -0.2), (0.0, -0.02))
        part.paint(smoothstep(1 - side * 20) * (0.25 + 0.4 * straight), dark)
        tip = smoothstep(1 - circle(x - light * 0.02, y + 0.05, 0.0) * 13)
        part.paint(tip * 0.55, mix(skin, WHITE, 0.55))
        wide = column(_NOSE_WIDTHS[look.nose]) * column(look.nose_size)
        wings = arc(x, y - 0.01, wide, column(_NOSE_BENDS[look.nose]))
        part.paint(part.stroke(wings, 0.018), skin_shade(dark))


def paint_mouth(canvas: Canvas, look: Attributes) -> None:
    """Paint the mouth: a line with a lower lip, or an open smile with teeth and tongue."""
    is_open = look.mouth == code("mouth", "open smile")
    for chosen, paint in ((~is_open, _paint_closed_mouth), (is_open, _paint_open_mouth)):
        for part in canvas.part((-0.56, 0.56, 0.20, 0.90), chosen):
            some = look.take(chosen)
            smile = column(some.smile)
            wide = 0.205 * column(some.mouth_width) * (1 + 0.12 * np.maximum(smile, 0))
            lip = mix(skin_colour(some), (0.84, 0.24, 0.28), np.where(some.lipstick, 0.75, 0.42).astype(np.float32))
            paint(part, some, _across(part, some), part.y - _MOUTH_Y - 0.03 * smile, wide, lip)


def _paint_closed_mouth(part: Canvas, look: Attributes, x: Floats, y: Floats, wide: Floats, lip: Floats) -> None:
    part.fill(ellipse(x, y - 0.045, wide * 0.6, 0.052), lip)
    upper = part.cover(ellipse(np.abs(x) - wide * 0.26, y + 0.012, wide * 0.42, 0.036))
    part.paint(upper * column(look.lipstick), lip)
    line = shade(mix(skin_colour(look), (0.50, 0.10, 0.13), 0.66), 0.28)
    part.paint(part.stroke(arc(x, y, wide, -0.1 * column(look.smile)), 0.021), line)


def _paint_open_mouth(part: Canvas, look: Attributes, x: Floats, y: Floats, wide: Floats, lip: Floats) -> None:
    # Between two parabolas: top, and bottom = top + drop (1 - t^2), t = x / wide.
    smile = column(look.smile)
    t = x / wide
    tt = t * t
    top = -0.05 * smile * tt - 0.03
    drop = 0.09 + 0.09 * smile
    bottom = top + drop * (1 - tt)
    slope = 1 / np.sqrt(1 + np.square(2 * drop * t / wide))
    mouth = np.maximum(np.maximum(top - y, (y - bottom) * slope), np.abs(x) - wide)
    part.fill(mouth - 0.022, lip)
    inside = part.cover(mouth)
    part.paint(inside, (0.42, 0.10, 0.13))
    tongue = ellipse(x, y - drop + 0.03, wide * 0.55, drop * 0.42)
    part.paint(inside * part.cover(tongue), (0.88, 0.40, 0.42))
    part.paint(inside * part.cover(y - top - 0.054), WHITE)


def paint_facial_hair(canvas: Canvas, look: Attributes, head: Floats) -> None:
    """Paint stubble, a moustache, a goatee or a beard; the mouth is painted over it."""
    chosen = look.facial_hair != code("facial_hair", "none")
    rows, columns = canvas.pixels(_BEARD)
    head = head[:, rows, columns][chosen]
    look = look.take(chosen)
    colour = HAIR[look.hair_colour]
    words = ("stubble", "goatee", "beard", "moustache")
    stubble, goatee, beard, moustache = (column(look.facial_hair == code("facial_hair", word)) for word in words)
    for part in canvas.part(_BEARD, chosen):
        x, y = _across(part, look), part.y
        off_centre = np.abs(x)
        # Below a line that rises towards the ears, but for the place of mouth and moustache.
        full = intersection(0.30 - 1.6 * np.maximum(off_centre - 0.30, 0) - y, -ellipse(x, y - 0.16, 0.36, 0.15), 0.05)
        part.paint(part.cover(full) * head * beard, colour)
        part.paint(smoothstep(0.5 - full * 7) * head * stubble * 0.35, mix(colour, INK, 0.4))
        part.paint(part.cover(box(x, y - 0.57, 0.15, 0.13, 0.09)) * goatee, colour)
        shape = ellipse(off_centre - 0.10, y - 0.325 - off_centre * 0.25, 0.125, 0.052)
        part.paint(part.cover(shape) * (goatee + beard + moustache), mix(colour, INK, 0.12))


def paint_eyes(canvas: Canvas, look: Attributes) -> None:
    """Paint both eyes: white, iris, pupil, highlight, the lid's line and lashes."""
    skin = skin_colour(look)
    iris_colour = IRIS[look.eye_colour]
    size = column(look.eye_size)
    for part in canvas.part(_EYES):
        across = _across(part, look)
        x = np.abs(across) - _EYE_X * column(look.eye_spacing)  # outwards from the middle of either eye
        y = part.y - _EYE_Y
        a, b = 0.154 * size, 0.134 * size * column(look.eye_openness)
        socket = part.cover(ellipse(x, y + 0.022, a * 1.1, b * 1.12))
        part.paint(socket * 0.5, skin_shade(skin))
        white = ellipse(x, y, a, b)
        inside = part.cover(white)
        part.paint(inside, WHITE)
        to_right = np.where(across < 0, np.float32(-1), np.float32(1)) * x
        seen = to_right - 0.03 * column(look.gaze)
        from_pupil = np.sqrt(seen * seen + y * y)
        part.paint(inside * part.cover(from_pupil - 0.1 * size), mix(iris_colour, INK, 0.45))
        part.paint(inside * part.cover(from_pupil - 0.08 * size), iris_colour)
        part.paint(inside * part.cover(from_pupil - 0.05 * size), (0.07, 0.05, 0.07))
        # The shadow of the lid, then the light in the eye, then the lid's line: the upper edge of the white.
        part.paint(inside * smoothstep((-y / b - 0.35) * 1.8) * 0.25, (0.35, 0.25, 0.35))
        side = np.sign(column(look.light))
        part.paint(part.cover(circle(seen - 0.034 * side, y + 0.036, 0.032 * size)), WHITE)
        part.paint(part.stroke(white, 0.02) * smoothstep((-0.015 - y) * 18), INK)
    chosen = look.lashes
    for part in canvas.part(_EYES, chosen):
        a, b = a[chosen], b[chosen]
        lash = segment(x[chosen], y[chosen], (a * 0.82, b * -0.55), (a * 1.22, b * -1.0))
        part.paint(part.stroke(lash, 0.019), INK)


def paint_brows(canvas: Canvas, look: Attributes) -> None:
    """Paint the brows: bent strokes in a darker shade of the hair."""
    for part in canvas.part((-0.74, 0.74, -0.54, 0.20)):
        x = np.abs(_across(part, look)) - (_EYE_X + 0.012) * column(look.eye_spacing)
        y = part.y + 0.19 + 0.03 * column(np.maximum(look.smile, 0))
        y += x * (0.2 * column(look.brow_tilt) - 0.08)
        brow = part.stroke(arc(x, y, 0.125, 0.035), 0.026 * column(look.brow_thickness))
        part.paint(brow, mix(HAIR[look.hair_colour], (0.20, 0.12, 0.10), 0.4))


def paint_glasses(canvas: Canvas, look: Attributes) -> None:
    """Paint the glasses: tinted lenses with a glint, rims, the bridge and the arms."""
    chosen = look.glasses_style != code("glasses_style", "none")
    look = look.take(chosen)
    square = column(look.glasses_style == code("glasses_style", "square"))
    half_rim = column(look.glasses_style == code("glasses_style", "half-rim"))
    for part in canvas.part((-0.84, 0.84, -0.36, 0.54), chosen):
        across = _across(part, look)
        off_centre = np.abs(across)
        x, y = off_centre - (_EYE_X + 0.008) * column(look.eye_spacing), part.y - (_EYE_Y + 0.01)
        lens = circle(x, y, 0.196) * (1 - square) + box(x, y, 0.203, 0.165, 0.06) * square
        inside = part.cover(lens)
        part.paint(inside * 0.07, (0.85, 0.95, 1.0))
        glint = np.abs(across * 0.8 + y * 0.6 - np.where(across < 0, np.float32(-0.26), np.float32(0.10)))
        part.paint(inside * part.cover(glint - 0.022) * 0.28, WHITE)
        rim = part.stroke(lens, 0.02) * (1 - half_rim * clip((y - 0.02) * part.sharp))
        bridge = part.stroke(arc(across, y + 0.06, 0.045, 0.02), 0.018)
        arms = part.stroke(segment(off_centre, y, (0.42, -0.05), (0.56, -0.07)), 0.018)
        frame = mix(np.array([INK], dtype=np.float32), (0.45, 0.20, 0.16), square[:, 0, 0])
        part.paint(np.maximum(np.maximum(rim, bridge), arms), frame)
