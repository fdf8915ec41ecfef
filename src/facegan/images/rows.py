"""Rows of images that change from left to right, one row a face."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .layouts import GAP, LABELLED, wrapped

_ROOM = 120, 100  # pixels that title and labels take, or more
_INK, _MARK = (40, 40, 40), (30, 90, 200)


def rows(
    pixels: np.ndarray, *, title: str, headings: Sequence[str], labels: Sequence[str], marked: Sequence[int] = ()
) -> np.ndarray:
    """Arrange images in rows and columns on white, under a title and a heading a column, with a label before a row.

    Args:
        pixels: uint8 (rows, columns, C, H, W); small images are enlarged by a whole factor.
        title: Over all, wrapped to the width of the sheet.
        headings: A text a column, of one or more lines.
        labels: A text a row.
        marked: The columns that get a frame.

    Returns:
        uint8 (height, width, 3).
    """
    pixels = pixels.repeat(3 // pixels.shape[2], 2)
    factor = -(-LABELLED // pixels.shape[4])
    pixels = pixels.repeat(factor, 3).repeat(factor, 4)
    num_rows, num_columns, _, height, width = pixels.shape
    small, large, gap = ImageFont.load_default(11), ImageFont.load_default(13), 2 * GAP
    left = gap + max(round(small.getlength(label)) for label in labels) + gap
    breadth = left + num_columns * (width + gap)
    title = wrapped(title, breadth - left - gap, 13)
    title_end = gap + 17 * (title.count("\n") + 1)
    top = title_end + 14 * max(heading.count("\n") + 1 for heading in headings) + gap
    sheet = Image.new("RGB", (breadth, top + num_rows * (height + gap)), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((left, gap), title, fill=_INK, font=large)
    for column, heading in enumerate(headings):
        middle = left + column * (width + gap) + width // 2
        pen.text((middle, title_end), heading, fill=_INK, font=small, anchor="ma", align="center")
        if column in marked:
            x = left + column * (width + gap)
            pen.rectangle((x - 3, top - 3, x + width + 2, sheet.height - 2), outline=_MARK, width=2)
    for row, label in enumerate(labels):
        y = top + row * (height + gap)
        pen.text((left - gap, y + height // 2), label, fill=_INK, font=small, anchor="rm")
        for column in range(num_columns):
            x = left + column * (width + gap)
            sheet.paste(Image.fromarray(pixels[row, column].transpose(1, 2, 0)), (x, y))
    return np.asarray(sheet)


def rows_size(num_rows: int, num_columns: int, side: int) -> tuple[int, int]:
    """Height and width in pixels of `rows` of images of `side` x `side`, about."""
    each = side * -(-LABELLED // side) + 2 * GAP
    return _ROOM[0] + num_rows * each, _ROOM[1] + num_columns * each
