"""Arrange images on a sheet: grids, labelled rows, contact sheets, grids side by side, equations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..errors import SnapshotError
from .files import read_grid

if TYPE_CHECKING:
    from torch import Tensor

GAP = 2  # pixels between the images of a grid
BAND = 16  # pixels below each image for its label
LABELLED = 64  # pixels: images with a label are at least this wide
LEGIBLE = 400  # pixels: grids that people compare are at least this high

_INK, _GREY, _FAINT, _MARK = (40, 40, 40), (60, 60, 60), (170, 170, 170), (30, 90, 200)


class _Sheet:
    """A white RGB canvas."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), "white")
        self.pen = ImageDraw.Draw(self.image)

    def paste(self, pixels: np.ndarray, left: int, top: int) -> None:
        """Place one image (C, H, W)."""
        self.image.paste(Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)), (left, top))

    def text(
        self, place: tuple[int, int], text: str, size: int = 11, *, anchor: str = "la", fill: tuple[int, ...] = _INK
    ) -> None:
        """Write text in lines of `size` points; `anchor` is Pillow's, "ma" centres below the place."""
        self.pen.text(place, text, fill=fill, font=ImageFont.load_default(size), anchor=anchor, align="center")

    def array(self) -> np.ndarray:
        """Return the canvas as uint8 (height, width, 3)."""
        return np.asarray(self.image)


def enlarge(images: np.ndarray, width: int = LABELLED) -> np.ndarray:
    """Repeat the pixels of images (..., H, W) by the smallest whole factor that makes them at least `width` wide."""
    factor = -(-width // images.shape[-1])
    return images.repeat(factor, -2).repeat(factor, -1)


def near_square(num: int) -> int:
    """Return the columns of a grid of `num` images: the squarest exact divisor if one is near, else ceil(sqrt(num))."""
    root = int(np.ceil(np.sqrt(num)))
    exact = next(columns for columns in range(root, num + 1) if num % columns == 0)
    return exact if exact <= 1.5 * root else root


def grid(
    pixels: "Tensor | np.ndarray", columns: int | None = None, *, labels: Sequence[str] | None = None
) -> np.ndarray:
    """Arrange images row by row on white.

    Args:
        pixels: uint8 (N, C, H, W).
        columns: Images in a row; None: near-square.
        labels: A text below each image, cut to its width; small images are then enlarged by a whole factor.

    Returns:
        uint8 (height, width, 3), or (height, width) for one channel without labels.

    Raises:
        ValueError: There is no image.
    """
    array = pixels if isinstance(pixels, np.ndarray) else pixels.cpu().numpy()
    if not len(array):
        raise ValueError("a grid needs at least one image")
    columns = columns or near_square(len(array))
    if labels is not None:
        array = enlarge(array)
    num, channels, height, width = array.shape
    below = GAP if labels is None else BAND
    num_rows = -(-num // columns)
    breadth, depth = columns * (width + GAP) - GAP, num_rows * (height + below) - (GAP if labels is None else 0)
    sheet = np.full((depth, breadth, channels), 255, np.uint8)
    for index, image in enumerate(array.transpose(0, 2, 3, 1)):
        top, left = (index // columns) * (height + below), (index % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    if labels is None:
        return sheet[:, :, 0] if channels == 1 else sheet
    labelled = _Sheet(breadth, depth)
    labelled.paste(sheet.transpose(2, 0, 1), 0, 0)
    for index, label in enumerate(labels):
        top, left = (index // columns) * (height + below), (index % columns) * (width + GAP)
        labelled.text((left + width // 2, top + height + 1), cut(label, width), anchor="ma")
    return labelled.array()


def grid_size(num: int, columns: int | None, side: int, *, labelled: bool = False) -> tuple[int, int]:
    """Return height and width in pixels of a `grid` of `num` images of `side` x `side`."""
    columns = columns or near_square(num)
    rows = -(-num // columns)
    if labelled:
        side *= -(-LABELLED // side)
        return rows * (side + BAND), columns * (side + GAP) - GAP
    return rows * (side + GAP) - GAP, columns * (side + GAP) - GAP


def rows(
    pixels: np.ndarray, *, title: str, headings: Sequence[str], labels: Sequence[str], marked: Sequence[int] = ()
) -> np.ndarray:
    """Arrange images in labelled rows under a title and column headings.

    Args:
        pixels: uint8 (rows, columns, C, H, W); small images are enlarged by a whole factor.
        title: Above all, wrapped to the width of the sheet.
        headings: A text for each column, of one or more lines.
        labels: A text before each row.
        marked: Columns that get a frame.

    Returns:
        uint8 (height, width, 3).
    """
    pixels = enlarge(pixels)
    num_rows, num_columns, _, height, width = pixels.shape
    gap = 2 * GAP
    left = gap + max(round(ImageFont.load_default(11).getlength(label)) for label in labels) + gap
    breadth = left + num_columns * (width + gap)
    title = wrap(title, breadth - left - gap, 13)
    title_end = gap + 17 * _num_lines([title])
    top = title_end + 14 * _num_lines(headings) + gap
    sheet = _Sheet(breadth, top + num_rows * (height + gap))
    sheet.pen.text((left, gap), title, fill=_INK, font=ImageFont.load_default(13))
    for column, heading in enumerate(headings):
        x = left + column * (width + gap)
        sheet.text((x + width // 2, title_end), heading, anchor="ma")
        if column in marked:
            box = (x - 3, top - 3, x + width + 2, sheet.image.height - 2)
            sheet.pen.rectangle(box, outline=_MARK, width=2)
    for row, label in enumerate(labels):
        y = top + row * (height + gap)
        sheet.text((left - gap, y + height // 2), label, anchor="rm")
        for column in range(num_columns):
            sheet.paste(pixels[row, column], left + column * (width + gap), y)
    return sheet.array()


def rows_size(num_rows: int, num_columns: int, side: int) -> tuple[int, int]:
    """Return about the height and width in pixels of `rows` of images of `side` x `side`."""
    each = side * -(-LABELLED // side) + 2 * GAP
    return 120 + num_rows * each, 100 + num_columns * each


def side_by_side(grids: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Arrange grids in near-square rows, each under its caption; small ones are enlarged by one whole factor.

    Args:
        grids: uint8 (height, width, 3) or (height, width) each.
        captions: One for each, wrapped to the width of its place.

    Returns:
        uint8 (height, width, 3).
    """
    factor = _legible_factor(max(each.shape[0] for each in grids))
    margin = max(16, 2 * GAP * factor)  # wider than the gaps inside a grid
    images = [ImageOps.scale(Image.fromarray(each).convert("RGB"), factor, Image.Resampling.NEAREST) for each in grids]
    width, height = (max(image.size[axis] for image in images) for axis in (0, 1))
    texts = [wrap(caption, width, 14) for caption in captions]
    band = 11 + 17 * _num_lines(texts)
    columns = near_square(len(grids))
    num_rows = -(-len(grids) // columns)
    sheet = _Sheet(columns * (width + margin) + margin, num_rows * (height + band) + margin)
    for place, (image, text) in enumerate(zip(images, texts, strict=True)):
        left, top = margin + (place % columns) * (width + margin), (place // columns) * (height + band)
        sheet.pen.text((left, top + 6), text, fill=_GREY, font=ImageFont.load_default(14))
        sheet.image.paste(image, (left, top + band))
    return sheet.array()


def add_captions(paths: Sequence[Path], captions: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield grids of one size, each with a line of text below it; small ones are enlarged by a whole factor.

    Yields:
        uint8 (height, width, 3), read when it is asked for.

    Raises:
        SnapshotError: A grid cannot be read, or differs in size from the first.
        OSError: A file cannot be opened.
    """
    size = None
    for path, caption in zip(paths, captions, strict=True):
        image = read_grid(path)
        size = size or image.size
        if image.size != size:
            given, usual = ("x".join(map(str, each)) for each in (image.size, size))
            raise SnapshotError(f"{path}: has {given} pixels, and {paths[0].name} {usual}; remove it to go without")
        image = ImageOps.scale(image, _legible_factor(image.height), Image.Resampling.NEAREST)
        sheet = _Sheet(image.width, image.height + 22)
        sheet.image.paste(image)
        sheet.text((4, image.height + 3), caption, 14, fill=_GREY)
        yield sheet.array()


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    headings: Sequence[tuple[str, str]],
    cell: int,
    *,
    captions: Sequence[Sequence[str]] | None = None,
) -> np.ndarray:
    """Arrange images in rows under titled columns; None marks a place whose image does not fit.

    Args:
        rows: Images of at most cell x cell; each row has as many as there are headings.
        headings: (title, note) of each column, wrapped to the column's width.
        cell: Side in pixels of an image's place.
        captions: A text below each image, cut to its place's width.

    Returns:
        uint8 (height, width, 3).
    """
    gap, margin, below = 6, 12, 0 if captions is None else BAND
    titles, notes = ([wrap(each[part], cell, size) for each in headings] for part, size in ((0, 13), (1, 11)))
    notes_top = margin + 17 * _num_lines(titles)
    band = notes_top + 14 * _num_lines(notes) + gap
    pitch = cell + below + gap
    sheet = _Sheet(2 * margin + len(headings) * (cell + gap) - gap, band + len(rows) * pitch - gap + margin)
    for column, (title, note) in enumerate(zip(titles, notes, strict=True)):
        left = margin + column * (cell + gap)
        sheet.pen.text((left, margin), title, fill=(20, 20, 20), font=ImageFont.load_default(13))
        sheet.pen.text((left, notes_top), note, fill=(90, 90, 90), font=ImageFont.load_default(11))
        for place, row in enumerate(rows):
            top, image = band + place * pitch, row[column]
            if image is None:
                sheet.pen.rectangle((left, top, left + cell - 1, top + cell - 1), fill=(240, 240, 240))
                middle = left + cell // 2, top + cell // 2
                sheet.text(middle, "does not fit", anchor="mm", fill=(110, 110, 110))
            else:
                sheet.image.paste(image, (left + (cell - image.width) // 2, top + (cell - image.height) // 2))
            if captions is not None:
                sheet.text((left + cell // 2, top + cell + 1), cut(captions[place][column], cell), anchor="ma")
    return sheet.array()


# An equation of faces: columns of faces over their means, with signs between, then the sum among its neighbours.

_TERM_ROWS = 4  # faces of a term in one column
_MARGIN, _SIGN_WIDTH, _CAPTION, _STROKE = 12, 34, 22, 8  # pixels; a stroke is half the length of a sign


@dataclass(frozen=True, eq=False)
class Term:
    """One term of an equation.

    Attributes:
        sign: "+" or "-"; the first term's is not drawn.
        faces: uint8 (n, C, H, W).
        labels: Of all points of the term, of which there may be more than faces.
        mean: The face of the term's mean latent, uint8 (1, C, H, W).
    """

    sign: str
    faces: np.ndarray
    labels: Sequence[str]
    mean: np.ndarray

    def columns(self) -> tuple[Image.Image | None, Image.Image]:
        """Return the faces, each over its label (None for a single point), and the mean over what it averages."""
        num = len(self.labels)
        mean = Image.fromarray(grid(self.mean, labels=[self.labels[0] if num == 1 else f"mean of {num:,}"]))
        if num == 1:
            return None, mean
        shown = len(self.faces)
        return Image.fromarray(grid(self.faces, -(-shown // _TERM_ROWS), labels=self.labels[:shown])), mean


def equation(terms: Sequence[Term], around: np.ndarray, captions: tuple[str, str]) -> np.ndarray:
    """Draw sums and differences of faces: each term's faces over their mean, then the result, large, and neighbours.

    Args:
        terms: The terms in order.
        around: uint8 (9, C, H, W): the result in the middle of faces of latents near it.
        captions: Below the result, and below its neighbours.

    Returns:
        uint8 (height, width, 3).
    """
    cell = enlarge(around).shape[3]
    columns = [(term.sign, *term.columns()) for term in terms]
    results = [
        Image.fromarray(grid(enlarge(faces, width))).convert("RGB")
        for faces, width in ((around[4:5], 3 * cell), (around, cell))
    ]
    above = max(0 if faces is None else faces.height + _MARGIN for _, faces, _ in columns)
    bottom = _MARGIN + max(above + cell, *(image.height for image in results))  # of the means and of the results
    widths = [max(mean.width, 0 if faces is None else faces.width) for _, faces, mean in columns]
    width = _MARGIN + sum(widths) + len(widths) * _SIGN_WIDTH + sum(image.width + _MARGIN for image in results)
    sheet, left, middle = _Sheet(width, bottom + _CAPTION), _MARGIN, bottom - cell // 2
    for (sign, faces, mean), room in zip(columns, widths, strict=True):
        if left > _MARGIN:
            _draw_sign(sheet, left, middle, sign)
        sheet.image.paste(mean, (left + (room - mean.width) // 2, bottom - cell))
        if faces is not None:
            sheet.image.paste(faces, (left, bottom - cell - _MARGIN - faces.height))
            line = bottom - cell - _MARGIN // 2
            sheet.pen.line((left, line, left + room - 1, line), fill=_FAINT)
        left += room + _SIGN_WIDTH
    _draw_sign(sheet, left, middle, "=")
    for image, caption in zip(results, captions, strict=True):
        sheet.image.paste(image, (left, bottom - image.height))
        sheet.text((left + image.width // 2, bottom + 1), caption, 13, anchor="ma")
        left += image.width + _MARGIN
    return sheet.array()


def equation_size(counts: Sequence[int], side: int) -> tuple[int, int]:
    """Return about the height and width in pixels of an `equation` of terms of so many points of `side` x `side`."""
    cell = side * -(-LABELLED // side) + _CAPTION
    columns = sum(-(-min(num, 3 * _TERM_ROWS) // _TERM_ROWS) for num in counts) + 6  # the result and its neighbours
    return (_TERM_ROWS + 1) * cell + 2 * _MARGIN + _CAPTION, columns * (cell + _SIGN_WIDTH)


def _draw_sign(sheet: _Sheet, right: int, middle: int, sign: str) -> None:
    """Draw a sign in the place that ends at `right`; Pillow's default font has no minus."""
    x = right - _SIGN_WIDTH // 2
    for height in (-4, 4) if sign == "=" else (0,):
        sheet.pen.line((x - _STROKE, middle + height, x + _STROKE, middle + height), fill=_INK, width=2)
    if sign == "+":
        sheet.pen.line((x, middle - _STROKE, x, middle + _STROKE), fill=_INK, width=2)


def cut(label: str, width: int, size: int = 11) -> str:
    """Shorten a label with an ellipsis until it is at most `width` pixels wide."""
    font = ImageFont.load_default(size)
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(label + "…") > width:
        label = label[:-1]
    return label + "…"


def wrap(text: str, width: int, size: int) -> str:
    """Break text into lines of at most `width` pixels, between words, or within one that is wider."""
    font = ImageFont.load_default(size)
    lines = [""]
    for word in text.split():
        if lines[-1] and font.getlength(f"{lines[-1]} {word}") > width:
            lines.append("")
        for char in f" {word}" if lines[-1] else word:
            if font.getlength(lines[-1] + char) > width:
                lines.append("")
            lines[-1] += char
    return "\n".join(lines)


def _num_lines(texts: Sequence[str]) -> int:
    return max(text.count("\n") + 1 for text in texts)


def _legible_factor(height: int) -> int:
    return -(-LEGIBLE // height)
