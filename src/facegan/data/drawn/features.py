"""The features: blush, nose, mouth, beard, eyes, brows and glasses."""

from __future__ import annotations

import numpy as np

from facegan.data.drawn.attributes import Attributes, Floats, code
from facegan.data.drawn.canvas import Canvas, arc, both, box, circle, clip, column, ellipse, segment, soft
from facegan.data.drawn.palette import HAIR, INK, IRIS, WHITE, mix, shade, skin_colour, skin_shade

EYE_X, EYE_Y = 0.225, 0.04
_TURN = 0.06  # how far the features move when the head turns


def _across(canvas: Canvas, look: Attributes) -> Floats:
    return canvas.x - np.float32(_TURN) * column(look.turn)


def paint_cheeks(canvas: Canvas, look: Attributes) -> None:
    """Paint blush and freckles."""
    part = canvas.window(-0.7, 0.7, -0.1, 0.6)
    skin = skin_colour(look)
    x = np.abs(_across(part, look)) - np.float32(0.31)
    y = part.y - np.float32(0.235)
    glow = soft(np.float32(1.1) - np.sqrt(np.square(x / np.float32(0.15)) + np.square(y / np.float32(0.11))))
    part.paint(glow * (np.float32(0.2) + np.float32(0.45) * column(look.blush)), mix(skin, (0.93, 0.30, 0.32), 0.6))
    chosen = look.freckles
    if not chosen.any():
        return
    some, x, y, dark = part.take(chosen), x[chosen], y[chosen], skin_shade(skin_shade(skin[chosen]))
    for spot_x, spot_y in ((-0.07, -0.03), (0.0, 0.01), (0.07, -0.04), (-0.03, 0.06), (0.05, 0.05)):
        spot = circle(x - np.float32(spot_x), y - np.float32(spot_y), np.float32(0.016))
        some.paint(some.cover(spot) * np.float32(0.7), dark)
    part.rgb[chosen] = some.rgb


def paint_nose(canvas: Canvas, look: Attributes) -> None:
    """Paint the nose: a shaded side, a highlight and the line under its tip."""
    part = canvas.window(-0.4, 0.4, -0.2, 0.5)
    skin = skin_colour(look)
    dark = skin_shade(skin)
    size = column(look.nose_size)
    wide = column(np.array([0.085, 0.075, 0.115])[look.nose]) * size
    bend = column(np.array([-0.03, -0.045, -0.035])[look.nose])
    x = part.x - np.float32(1.5 * _TURN) * column(look.turn)
    y = part.y - np.float32(0.235)
    light = column(look.light)
    bridge = column(look.nose == code("nose", "straight"))
    side = segment(x + light * np.float32(0.045), y, (0.0, -0.2), (0.0, -0.02))
    part.paint(soft(np.float32(1) - side * np.float32(20)) * (np.float32(0.25) + np.float32(0.4) * bridge), dark)
    tip = soft(np.float32(1) - circle(x - light * np.float32(0.02), y + np.float32(0.05), 0.0) * np.float32(13))
    part.paint(tip * np.float32(0.55), mix(skin, WHITE, 0.55))
    part.paint(part.stroke(arc(x, y - np.float32(0.01), wide, bend), np.float32(0.017)), skin_shade(dark))


def paint_mouth(canvas: Canvas, look: Attributes) -> None:
    """Paint the mouth: a line with a lower lip, or an open smile with teeth and tongue."""
    part = canvas.window(-0.5, 0.5, 0.1, 0.8)
    skin = skin_colour(look)
    x, y = _across(part, look), part.y - np.float32(0.40)
    smile = column(look.smile)
    wide = np.float32(0.20) * column(look.mouth_width) * (1 + np.float32(0.12) * np.maximum(smile, 0))
    bend = np.float32(-0.085) * smile
    y = y - np.float32(0.03) * smile
    line = shade(mix(skin, (0.55, 0.12, 0.14), 0.62), 0.25)
    painted = look.lipstick
    lip = mix(skin, (0.84, 0.24, 0.28), np.where(painted, 0.75, 0.42).astype(np.float32))
    is_open = look.mouth == code("mouth", "open smile")
    closed = column(~is_open)
    lower = ellipse(x, y - np.float32(0.042), wide * np.float32(0.6), np.float32(0.05))
    part.paint(part.cover(lower) * closed, lip)
    upper = ellipse(
        np.abs(x) - wide * np.float32(0.26), y + np.float32(0.012), wide * np.float32(0.42), np.float32(0.036)
    )
    part.paint(part.cover(upper) * closed * column(painted), lip)
    part.paint(part.stroke(arc(x, y, wide, bend), np.float32(0.019)) * closed, line)
    if is_open.any():
        some = part.take(is_open)
        _paint_open_mouth(some, look.take(is_open), x[is_open], y[is_open], wide[is_open], lip[is_open])
        part.rgb[is_open] = some.rgb


def _paint_open_mouth(part: Canvas, look: Attributes, x: Floats, y: Floats, wide: Floats, lip: Floats) -> None:
    smile = column(look.smile)
    t = x / wide
    tt = t * t
    top = np.float32(-0.05) * smile * tt - np.float32(0.03)
    drop = np.float32(0.08) + np.float32(0.09) * smile
    bottom = top + drop * (1 - tt)
    slope = 1 / np.sqrt(1 + np.square(2 * drop * t / wide))
    mouth = np.maximum(np.maximum(top - y, (y - bottom) * slope), np.abs(x) - wide)
    part.fill(mouth - np.float32(0.022), lip)
    part.fill(mouth, (0.42, 0.10, 0.13))
    inside = part.cover(mouth)
    tongue = ellipse(x, y - drop + np.float32(0.03), wide * np.float32(0.55), drop * np.float32(0.42))
    part.paint(inside * part.cover(tongue), (0.88, 0.40, 0.42))
    teeth = y - (top + np.float32(0.052))
    part.paint(inside * part.cover(teeth), WHITE)


def paint_facial_hair(canvas: Canvas, look: Attributes, head: Floats) -> None:
    """Paint stubble, a moustache, a goatee or a beard; the mouth is painted over it."""
    chosen = look.facial_hair != 0
    if not chosen.any():
        return
    rows, columns = canvas.rows_and_columns(-0.76, 0.76, 0, 0.96)
    canvas, head = canvas.window(-0.76, 0.76, 0, 0.96), head[:, rows, columns]
    part = canvas.take(chosen)
    look = look.take(chosen)
    x, y = _across(part, look), part.y
    colour = HAIR[look.hair_colour]
    kind = look.facial_hair
    ax = np.abs(x)
    edge = np.float32(0.30) - np.float32(1.0) * np.maximum(ax - np.float32(0.30), 0) * np.float32(1.6)
    full = np.maximum(edge - y, np.float32(-9))
    full = both(full, -ellipse(x, y - np.float32(0.16), np.float32(0.36), np.float32(0.15)), 0.05)
    head = head[chosen]
    part.paint(part.cover(full) * head * column(kind == code("facial_hair", "beard")), colour)
    shadow = soft(np.float32(0.5) - full * 7) * head * column(kind == code("facial_hair", "stubble"))
    part.paint(shadow * np.float32(0.35), mix(colour, INK, 0.4))
    goatee = part.cover(box(x, y - np.float32(0.56), np.float32(0.15), np.float32(0.13), np.float32(0.09)))
    part.paint(goatee * column(np.isin(kind, [code("facial_hair", "goatee")])), colour)
    tache = ellipse(
        ax - np.float32(0.10), y - np.float32(0.315) - ax * np.float32(0.25), np.float32(0.125), np.float32(0.052)
    )
    part.paint(part.cover(tache) * column(np.isin(kind, [2, 3, 4])), mix(colour, INK, 0.12))
    canvas.rgb[chosen] = part.rgb


def paint_eyes(canvas: Canvas, look: Attributes) -> None:
    """Paint both eyes: white, iris, pupil, highlights, the lid's line and lashes."""
    part = canvas.window(-0.62, 0.62, -0.28, 0.42)
    skin = skin_colour(look)
    size = column(look.eye_size)
    across = _across(part, look)
    side = np.where(across < 0, np.float32(-1), np.float32(1))
    x = across - side * np.float32(EYE_X) * column(look.eye_spacing)
    y = part.y - np.float32(EYE_Y)
    a, b = np.float32(0.142) * size, np.float32(0.118) * size * column(look.eye_openness)
    white = ellipse(x, y, a, b, 0.1)
    lid = part.cover(ellipse(x, y + np.float32(0.022), a * np.float32(1.1), b * np.float32(1.12), 0.1))
    part.paint(lid * np.float32(0.5), skin_shade(skin))
    inside = part.cover(white)
    part.paint(inside, WHITE)
    look_x = x - np.float32(0.03) * column(look.gaze)
    iris_radius = np.float32(0.088) * size
    iris = circle(look_x, y, iris_radius)
    colour = IRIS[look.eye_colour]
    part.paint(inside * part.cover(iris), mix(colour, INK, 0.45))
    part.paint(inside * part.cover(iris + np.float32(0.018)), colour)
    part.paint(inside * part.cover(circle(look_x, y, np.float32(0.046) * size)), (0.07, 0.05, 0.07))
    glint = circle(
        look_x - np.float32(0.032) * np.sign(column(look.light)), y + np.float32(0.036), np.float32(0.029) * size
    )
    part.paint(part.cover(glint), WHITE)
    # The upper lid: the upper edge of the white, thicker outside; the shadow it casts on the eye.
    part.paint(inside * soft((-y / b - np.float32(0.35)) * np.float32(1.8)) * np.float32(0.3), (0.35, 0.25, 0.35))
    upper = part.stroke(white, np.float32(0.02)) * soft((np.float32(-0.015) - y) * 18)
    part.paint(upper, INK)
    lashes = segment(
        x * side, y, (a * np.float32(0.82), -b * np.float32(0.55)), (a * np.float32(1.22), -b * np.float32(1.0))
    )
    part.paint(part.stroke(lashes, np.float32(0.019)) * column(look.lashes), INK)


def paint_brows(canvas: Canvas, look: Attributes) -> None:
    """Paint the brows: bent strokes in a darker shade of the hair."""
    part = canvas.window(-0.62, 0.62, -0.5, 0.15)
    across = _across(part, look)
    ax = np.abs(across) - np.float32(EYE_X + 0.012) * column(look.eye_spacing)
    y = part.y + np.float32(0.175) + np.float32(0.03) * column(np.maximum(look.smile, 0))
    y = y + ax * (np.float32(0.2) * column(look.brow_tilt) - np.float32(0.08))
    bow = arc(ax, y, np.float32(0.125), np.float32(0.035))
    thick = np.float32(0.026) * column(look.brow_thickness)
    part.paint(part.stroke(bow, thick), mix(HAIR[look.hair_colour], (0.20, 0.12, 0.10), 0.4))


def paint_glasses(canvas: Canvas, look: Attributes) -> None:
    """Paint the glasses: tinted lenses with a glint, rims, the bridge and the arms."""
    window = canvas.window(-0.75, 0.75, -0.4, 0.5)
    chosen = look.glasses_style != 0
    if not chosen.any():
        return
    part = window.take(chosen)
    look = look.take(chosen)
    across = _across(part, look)
    ax = np.abs(across)
    x, y = ax - np.float32(EYE_X + 0.008) * column(look.eye_spacing), part.y - np.float32(EYE_Y + 0.015)
    square = column(look.glasses_style == code("glasses_style", "square"))
    lens = circle(x, y, np.float32(0.188)) * (1 - square) + box(x, y, 0.195, 0.155, 0.06) * square
    inside = part.cover(lens)
    part.paint(inside * np.float32(0.07), (0.85, 0.95, 1.0))
    glint = np.abs(
        across * np.float32(0.8) + y * np.float32(0.6) - np.where(across < 0, np.float32(-0.26), np.float32(0.10))
    )
    part.paint(inside * part.cover(glint - np.float32(0.022)) * np.float32(0.28), WHITE)
    half_rim = column(look.glasses_style == code("glasses_style", "half-rim"))
    rim = part.stroke(lens, np.float32(0.02)) * (1 - half_rim * clip((y - np.float32(0.02)) * part.sharp))
    bridge = part.stroke(arc(across, y + np.float32(0.06), np.float32(0.045), np.float32(0.02)), np.float32(0.018))
    arms = part.stroke(
        segment(ax, y, (np.float32(0.41), np.float32(-0.05)), (np.float32(0.56), np.float32(-0.07))), np.float32(0.018)
    )
    frame = np.array([INK, INK, (0.45, 0.20, 0.16), INK], dtype=np.float32)[look.glasses_style]
    part.paint(np.maximum(np.maximum(rim, bridge), arms), frame)
    window.rgb[chosen] = part.rgb
