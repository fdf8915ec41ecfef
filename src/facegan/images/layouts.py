"""Arrange images on a sheet: grids, labelled rows, contact sheets, grids side by side, equations."""

import functools
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
_BAND = 16  # pixels below each image for its label
_LABELLED = 64  # pixels: images with a label are at least this wide
_LEGIBLE = 400  # pixels: grids that people compare are at least this high
_TERM_ROWS = 4  # faces of an equation's term in one column
_MARGIN, _SIGN_WIDTH, _CAPTION = 12, 34, 22  # pixels, in an equation
_INK, _GREY, _FAINT, _MARK = (40, 40, 40), (60, 60, 60), (170, 170, 170), (30, 90, 200)

_font = functools.cache(ImageFont.load_default)


class _Sheet:
    """A white RGB canvas."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), "white")
        self.pen = ImageDraw.Draw(self.image)

    def paste(self, image: Image.Image | np.ndarray, left: int, top: int) -> None:  # an array is (C, H, W)
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        self.image.paste(image, (left, top))

    def text(
        self, place: tuple[int, int], text: str, size: int = 11, *, anchor: str = "la", fill: tuple[int, ...] = _INK
    ) -> None:
        """Write lines of `size` points; `anchor` is Pillow's: "la" starts at the place, "ma" is centred below it."""
        align = "left" if anchor == "la" else "center"
        self.pen.text(place, text, fill=fill, font=_font(size), anchor=anchor, align=align)

    def array(self) -> np.ndarray:
        return np.asarray(self.image)


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
    array = array if labels is None else _enlarge(array)
    height, width = array.shape[2:]
    below = GAP if labels is None else _BAND
    num_rows = -(-len(array) // columns)
    sheet = _Sheet(columns * (width + GAP) - GAP, num_rows * (height + below) - (GAP if labels is None else 0))
    for index, image in enumerate(array):
        top, left = (index // columns) * (height + below), (index % columns) * (width + GAP)
        sheet.paste(image, left, top)
        if labels is not None:
            sheet.text((left + width // 2, top + height + 1), _cut(labels[index], width), anchor="ma")
    return sheet.array()[:, :, 0] if labels is None and array.shape[1] == 1 else sheet.array()


def grid_size(num: int, columns: int | None, side: int, *, labelled: bool = False) -> tuple[int, int]:
    """Return height and width in pixels of a `grid` of `num` images of `side` x `side`."""
    columns = columns or near_square(num)
    num_rows = -(-num // columns)
    if labelled:
        side *= -(-_LABELLED // side)
        return num_rows * (side + _BAND), columns * (side + GAP) - GAP
    return num_rows * (side + GAP) - GAP, columns * (side + GAP) - GAP


def rows(
    pixels: np.ndarray, *, title: str, headings: Sequence[str], labels: Sequence[str], marked: Sequence[int] = ()
) -> np.ndarray:
    """Arrange images, uint8 (rows, columns, C, H, W), in labelled rows: uint8 (height, width, 3).

    A heading, of one or more lines, stands over each column and the title over all. `marked` columns get a frame.
    """
    pixels = _enlarge(pixels)
    num_rows, num_columns, _, height, width = pixels.shape
    gap = 2 * GAP
    left = 2 * gap + max(round(_font(11).getlength(label)) for label in labels)
    sheet_width = left + num_columns * (width + gap)
    title = _wrap(title, sheet_width - left - gap, 13)
    title_end = gap + 17 * _num_lines([title])
    top = title_end + 14 * _num_lines(headings) + gap
    sheet = _Sheet(sheet_width, top + num_rows * (height + gap))
    sheet.text((left, gap), title, 13)
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
    each = side * -(-_LABELLED // side) + 2 * GAP
    return 120 + num_rows * each, 100 + num_columns * each


def side_by_side(grids: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Arrange grids, uint8 (h, w, 3) or (h, w), in near-square rows, each under its caption: uint8 (height, width, 3).

    Small ones are enlarged, all by the same whole factor.
    """
    factor = -(-_LEGIBLE // max(len(each) for each in grids))
    margin = max(16, 2 * GAP * factor)  # wider than the gaps inside a grid
    images = [ImageOps.scale(Image.fromarray(each).convert("RGB"), factor, Image.Resampling.NEAREST) for each in grids]
    width, height = (max(image.size[axis] for image in images) for axis in (0, 1))
    texts = [_wrap(caption, width, 14) for caption in captions]
    band = 11 + 17 * _num_lines(texts)
    columns = near_square(len(grids))
    sheet = _Sheet(columns * (width + margin) + margin, -(-len(grids) // columns) * (height + band) + margin)
    for place, (image, text) in enumerate(zip(images, texts, strict=True)):
        left, top = margin + (place % columns) * (width + margin), (place // columns) * (height + band)
        sheet.text((left, top + 6), text, 14, fill=_GREY)
        sheet.paste(image, left, top + band)
    return sheet.array()


def add_captions(paths: Sequence[Path], captions: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield grids of one size as uint8 (height, width, 3), read one at a time, each over a line of text.

    Small ones are enlarged by a whole factor. Raises SnapshotError for one that differs in size or cannot be read.
    """
    size = None
    for path, caption in zip(paths, captions, strict=True):
        image = read_grid(path)
        size = size or image.size
        if image.size != size:
            given, usual = ("x".join(map(str, each)) for each in (image.size, size))
            raise SnapshotError(f"{path}: has {given} pixels, and {paths[0].name} {usual}; remove it to go without")
        image = ImageOps.scale(image, -(-_LEGIBLE // image.height), Image.Resampling.NEAREST)
        sheet = _Sheet(image.width, image.height + 22)
        sheet.paste(image, 0, 0)
        sheet.text((4, image.height + 3), caption, 14, fill=_GREY)
        yield sheet.array()


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    headings: Sequence[tuple[str, str]],
    cell: int,
    *,
    captions: Sequence[Sequence[str]] | None = None,
) -> np.ndarray:
    """Arrange images of at most cell x cell in rows under columns of (title, note): uint8 (height, width, 3).

    None marks a place whose image does not fit. A caption below an image is cut to the width of its place.
    """
    gap, margin, below = 6, 12, 0 if captions is None else _BAND
    titles, notes = ([_wrap(each[part], cell, size) for each in headings] for part, size in ((0, 13), (1, 11)))
    notes_top = margin + 17 * _num_lines(titles)
    band = notes_top + 14 * _num_lines(notes) + gap
    pitch = cell + below + gap
    sheet = _Sheet(2 * margin + len(headings) * (cell + gap) - gap, band + len(rows) * pitch - gap + margin)
    for column, (title, note) in enumerate(zip(titles, notes, strict=True)):
        left = margin + column * (cell + gap)
        sheet.text((left, margin), title, 13, fill=(20, 20, 20))
        sheet.text((left, notes_top), note, fill=(90, 90, 90))
        for place, row in enumerate(rows):
            top, image = band + place * pitch, row[column]
            if image is None:
                sheet.pen.rectangle((left, top, left + cell - 1, top + cell - 1), fill=(240, 240, 240))
                middle = left + cell // 2, top + cell // 2
                sheet.text(middle, "does not fit", anchor="mm", fill=(110, 110, 110))
            else:
                sheet.paste(image, left + (cell - image.width) // 2, top + (cell - image.height) // 2)
            if captions is not None:
                sheet.text((left + cell // 2, top + cell + 1), _cut(captions[place][column], cell), anchor="ma")
    return sheet.array()


@dataclass(frozen=True, eq=False)
class Term:
    """One term of an equation of faces."""

    sign: str  # "+" or "-"; the first term's is not drawn
    faces: np.ndarray  # uint8 (n, C, H, W)
    labels: Sequence[str]  # of all points of the term, of which there may be more than faces
    mean: np.ndarray  # the face of the term's mean latent, uint8 (1, C, H, W)


def equation(terms: Sequence[Term], around: np.ndarray, captions: tuple[str, str]) -> np.ndarray:
    """Draw sums and differences of faces: uint8 (height, width, 3).

    Each term's faces stand over their mean; the result, large, and its neighbours follow over their captions.
    `around`, uint8 (9, C, H, W), has the result in the middle of faces of latents near it.
    """
    cell = _enlarge(around).shape[3]
    columns = [_term_images(term) for term in terms]
    results = [
        Image.fromarray(grid(_enlarge(faces, width))).convert("RGB")
        for faces, width in ((around[4:5], 3 * cell), (around, cell))
    ]
    above = max(sum(image.height + _MARGIN for image in images[1:]) for images in columns)
    bottom = _MARGIN + max(above + cell, *(image.height for image in results))  # of the means and of the results
    widths = [max(image.width for image in images) for images in columns]
    width = _MARGIN + sum(widths) + len(widths) * _SIGN_WIDTH + sum(image.width + _MARGIN for image in results)
    sheet, left, middle = _Sheet(width, bottom + _CAPTION), _MARGIN, bottom - cell // 2
    for term, (mean, *faces), room in zip(terms, columns, widths, strict=True):
        if left > _MARGIN:
            _draw_sign(sheet, left, middle, term.sign)
        sheet.paste(mean, left + (room - mean.width) // 2, bottom - cell)
        for image in faces:
            sheet.paste(image, left, bottom - cell - _MARGIN - image.height)
            line = bottom - cell - _MARGIN // 2
            sheet.pen.line((left, line, left + room - 1, line), fill=_FAINT)
        left += room + _SIGN_WIDTH
    _draw_sign(sheet, left, middle, "=")
    for image, caption in zip(results, captions, strict=True):
        sheet.paste(image, left, bottom - image.height)
        sheet.text((left + image.width // 2, bottom + 1), caption, 13, anchor="ma")
        left += image.width + _MARGIN
    return sheet.array()


def equation_size(counts: Sequence[int], side: int) -> tuple[int, int]:
    """Return about the height and width in pixels of an `equation` of terms of so many points of `side` x `side`."""
    cell = side * -(-_LABELLED // side) + _CAPTION
    columns = sum(-(-min(num, 3 * _TERM_ROWS) // _TERM_ROWS) for num in counts) + 6  # the result and its neighbours
    return (_TERM_ROWS + 1) * cell + 2 * _MARGIN + _CAPTION, columns * (cell + _SIGN_WIDTH)


def _term_images(term: Term) -> list[Image.Image]:
    """Return the mean over the number it averages and, for several points, the faces, each over its label."""
    num, shown = len(term.labels), len(term.faces)
    mean = grid(term.mean, labels=[term.labels[0] if num == 1 else f"mean of {num:,}"])
    faces = [] if num == 1 else [grid(term.faces, -(-shown // _TERM_ROWS), labels=term.labels[:shown])]
    return [Image.fromarray(each) for each in (mean, *faces)]


def _draw_sign(sheet: _Sheet, right: int, middle: int, sign: str) -> None:
    """Draw a sign in the place that ends at `right`; Pillow's default font has no minus."""
    x, half = right - _SIGN_WIDTH // 2, 8
    for height in (-4, 4) if sign == "=" else (0,):
        sheet.pen.line((x - half, middle + height, x + half, middle + height), fill=_INK, width=2)
    if sign == "+":
        sheet.pen.line((x, middle - half, x, middle + half), fill=_INK, width=2)


def _enlarge(images: np.ndarray, width: int = _LABELLED) -> np.ndarray:
    """Repeat the pixels of images (..., H, W) by the smallest whole factor that makes them at least `width` wide."""
    factor = -(-width // images.shape[-1])
    return images.repeat(factor, -2).repeat(factor, -1)


def _cut(label: str, width: int) -> str:
    """Shorten a label with an ellipsis until it is at most `width` pixels wide."""
    end = ""
    while label and _font(11).getlength(label + end) > width:
        label, end = label[:-1], "…"
    return label + end


def _wrap(text: str, width: int, size: int) -> str:
    """Break text into lines of at most `width` pixels, between words, or within one that is wider."""
    font = _font(size)
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
