"""Arithmetic on faces as an image: an equation whose terms are faces."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .layouts import LABELLED, grid

ROWS = 4  # of a term's faces, before they take another column
MARGIN, SIGN, CAPTION = 12, 34, 22  # pixels: around and between, the width of a sign's place, the height of a caption's
STROKE = 8  # half the length of a sign's
INK, FAINT = (40, 40, 40), (170, 170, 170)

Term = tuple[str, np.ndarray, Sequence[str], np.ndarray]


def equation(terms: Sequence[Term], around: np.ndarray, captions: tuple[str, str]) -> np.ndarray:
    """Columns of faces over their means, with signs between; then the sum, large, and the same among its neighbours.

    Small faces are enlarged by a whole factor. Of a term of one point, the face is shown once.

    Args:
        terms: Of each its sign, + or - (the first one's is not shown), its faces, uint8 (n, C, H, W), the labels of all
            its points, of which there may be more than faces, and its mean's face (1, C, H, W).
        around: The faces (9, C, H, W) of the sum, in the middle, and of its neighbours.
        captions: Under the sum, and under the neighbours.

    Returns:
        uint8 (height, width, 3).
    """
    factor = -(-LABELLED // around.shape[3])
    cell = around.shape[3] * factor
    columns = [(sign, _faces(faces, labels), _mean(mean, labels)) for sign, faces, labels, mean in terms]
    results = [_enlarged(around[4:5], 3 * factor), _enlarged(around, factor)]
    above = max(0 if faces is None else faces.height + MARGIN for _, faces, _ in columns)
    bottom = MARGIN + max(above + cell, *(picture.height for picture in results))  # of the means and of the results
    left, places = MARGIN, []
    for _, faces, mean in columns:
        places.append((left, max(mean.width, 0 if faces is None else faces.width)))
        left += places[-1][1] + SIGN
    width = left + sum(picture.width + MARGIN for picture in results)
    sheet = Image.new("RGB", (width, bottom + CAPTION), "white")
    pen = ImageDraw.Draw(sheet)
    for (sign, faces, mean), (start, room) in zip(columns, places, strict=True):
        if start > MARGIN:
            _sign(pen, start, bottom - cell // 2, sign)
        sheet.paste(mean, (start + (room - mean.width) // 2, bottom - cell))
        if faces is not None:
            sheet.paste(faces, (start, bottom - cell - MARGIN - faces.height))
            pen.line((start, bottom - cell - MARGIN // 2, start + room - 1, bottom - cell - MARGIN // 2), fill=FAINT)
    _sign(pen, left, bottom - cell // 2, "=")
    for picture, caption in zip(results, captions, strict=True):
        sheet.paste(picture, (left, bottom - picture.height))
        place = left + picture.width // 2, bottom + 1
        pen.text(place, caption, fill=INK, font=ImageFont.load_default(13), anchor="ma")
        left += picture.width + MARGIN
    return np.asarray(sheet)


def equation_size(terms: Sequence[int], side: int) -> tuple[int, int]:
    """Height and width in pixels of an `equation` of terms of so many points, of images of `side` x `side`, about."""
    cell = side * -(-LABELLED // side) + CAPTION
    columns = sum(-(-min(num, 3 * ROWS) // ROWS) for num in terms) + 6  # the sum, and its neighbours
    return (ROWS + 1) * cell + 2 * MARGIN + CAPTION, columns * (cell + SIGN)


def _faces(faces: np.ndarray, labels: Sequence[str]) -> Image.Image | None:
    """A term's faces in one column or more, each over its label; none of a term that is one point."""
    if len(labels) == 1:
        return None
    return Image.fromarray(grid(faces, -(-len(faces) // ROWS), labels=labels[: len(faces)]))


def _mean(mean: np.ndarray, labels: Sequence[str]) -> Image.Image:
    """The mean's face over what it is the mean of."""
    return Image.fromarray(grid(mean, labels=[labels[0] if len(labels) == 1 else f"mean of {len(labels):,}"]))


def _enlarged(faces: np.ndarray, factor: int) -> Image.Image:
    """Faces as a grid, enlarged by a whole factor; the gaps between them are not."""
    return Image.fromarray(grid(faces.repeat(factor, 2).repeat(factor, 3))).convert("RGB")


def _sign(pen: ImageDraw.ImageDraw, right: int, middle: int, sign: str) -> None:
    """A sign of strokes in its place, which ends at `right`; Pillow's own font has no minus."""
    x = right - SIGN // 2
    for height in (-4, 4) if sign == "=" else (0,):
        pen.line((x - STROKE, middle + height, x + STROKE, middle + height), fill=INK, width=2)
    if sign == "+":
        pen.line((x, middle - STROKE, x, middle + STROKE), fill=INK, width=2)
