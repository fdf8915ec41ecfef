"""Pictures arranged on a sheet: grids, comparisons with captions, contact sheets."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..errors import SnapshotError
from .files import read_grid

if TYPE_CHECKING:
    from torch import Tensor

GAP = 2  # pixels between the images of a grid
BAND = 16  # pixels, under each image, for its label
LABELLED = 64  # pixels: images with a label are at least this wide
LEGIBLE = 400  # pixels: grids for people to compare are at least this high


def grid(
    pixels: "Tensor | np.ndarray", columns: int | None = None, *, labels: Sequence[str] | None = None
) -> np.ndarray:
    """Arrange images (N, C, H, W), uint8, row by row on white.

    Args:
        pixels: The images.
        columns: Near-square when not given.
        labels: A text under each image; small images are then enlarged by a whole factor, so that it fits.

    Returns:
        uint8 (height, width, 3), or (height, width) for one channel without labels.

    Raises:
        ValueError: There is no image.
    """
    array = pixels if isinstance(pixels, np.ndarray) else pixels.cpu().numpy()
    num, channels, height, width = array.shape
    if not num:
        raise ValueError("a grid needs at least one image")
    columns = columns or near_square(num)
    rows = -(-num // columns)
    if labels is not None:
        return _labelled(array, columns, labels)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8)
    for index, picture in enumerate(array.transpose(0, 2, 3, 1)):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    return sheet[:, :, 0] if channels == 1 else sheet


def grid_size(num: int, columns: int | None, side: int, *, labelled: bool = False) -> tuple[int, int]:
    """Height and width in pixels of a `grid` of `num` images of `side` x `side`."""
    columns = columns or near_square(num)
    rows = -(-num // columns)
    if labelled:
        side *= -(-LABELLED // side)
        return rows * (side + BAND), columns * (side + GAP) - GAP
    return rows * (side + GAP) - GAP, columns * (side + GAP) - GAP


def _labelled(array: np.ndarray, columns: int, labels: Sequence[str]) -> np.ndarray:
    """The images (N, C, H, W) row by row, each with its label centred under it."""
    factor = -(-LABELLED // array.shape[3])
    array = array.repeat(factor, 2).repeat(factor, 3)
    num, channels, height, width = array.shape
    band, rows, font = BAND, -(-num // columns), ImageFont.load_default(11)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + band)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (picture, label) in enumerate(zip(array.transpose(0, 2, 3, 1), labels, strict=True)):
        left, top = (place % columns) * (width + GAP), (place // columns) * (height + band)
        sheet.paste(Image.fromarray(picture[:, :, 0] if channels == 1 else picture), (left, top))
        text = _cut(label, width, font)
        pen.text((left + width // 2, top + height + 1), text, fill=(40, 40, 40), font=font, anchor="ma")
    return np.asarray(sheet)


def _cut(label: str, width: int, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont") -> str:
    """A label, shortened at its end until it is no wider than `width` pixels."""
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(label + "…") > width:
        label = label[:-1]
    return label + "…"


def near_square(num: int) -> int:
    """The columns of a grid of `num`: the divisor that makes it squarest if none is far off, else ceil(sqrt(num))."""
    root = int(np.ceil(np.sqrt(num)))
    exact = next(columns for columns in range(root, num + 1) if num % columns == 0)
    return exact if exact <= 1.5 * root else root


def beside(sides: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Grids side by side on white, each under its caption, in near-square rows; small ones are enlarged alike.

    Args:
        sides: uint8 (height, width, 3) or (height, width) each.
        captions: Of each, wrapped to its place's width.

    Returns:
        uint8 (height, width, 3).
    """
    size, factor = 14, _legible(max(side.shape[0] for side in sides))
    margin = max(16, 2 * GAP * factor)  # wider than the gaps inside of a grid
    pictures = [
        ImageOps.scale(Image.fromarray(side).convert("RGB"), factor, Image.Resampling.NEAREST) for side in sides
    ]
    width, height = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    texts = [wrapped(caption, width, size) for caption in captions]
    band = 28 + 17 * max(text.count("\n") for text in texts)
    columns = near_square(len(sides))
    rows = -(-len(sides) // columns)
    sheet = Image.new("RGB", (columns * (width + margin) + margin, rows * (height + band) + margin), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        left, top = margin + (place % columns) * (width + margin), (place // columns) * (height + band)
        pen.text((left, top + 6), text, fill=(60, 60, 60), font=ImageFont.load_default(size))
        sheet.paste(picture, (left, top + band))
    return np.asarray(sheet)


def captioned(paths: Sequence[Path], captions: Sequence[str]) -> Iterator[np.ndarray]:
    """Grids of one size, each with a line of text under it; small ones are enlarged by a whole factor.

    Yields:
        uint8 (height, width, 3), as it is asked for.

    Raises:
        SnapshotError: As `read_grid`, or a grid is of another size than the first.
        OSError: As `read_grid`.
    """
    size = None
    for path, caption in zip(paths, captions, strict=True):
        grid = read_grid(path)
        size = size or grid.size
        if grid.size != size:
            given, usual = ("x".join(map(str, each)) for each in (grid.size, size))
            raise SnapshotError(f"{path}: has {given} pixels, and {paths[0].name} {usual}; remove it to go without")
        picture = ImageOps.scale(grid, _legible(grid.height), Image.Resampling.NEAREST)
        sheet = Image.new("RGB", (picture.width, picture.height + 22), "white")
        sheet.paste(picture)
        ImageDraw.Draw(sheet).text((4, sheet.height - 19), caption, fill=(60, 60, 60), font=ImageFont.load_default(14))
        yield np.asarray(sheet)


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    headings: Sequence[tuple[str, str]],
    cell: int,
    *,
    captions: Sequence[Sequence[str]] | None = None,
) -> np.ndarray:
    """Pictures in rows and columns on white, each column under its title and a note; None leaves a marked gap.

    Args:
        rows: Images of at most cell x cell; each row has as many as there are headings.
        headings: (title, note) of each column, wrapped to the column's width.
        cell: Side in pixels of an image's place.
        captions: A text under each image, cut to its place's width.

    Returns:
        uint8 (height, width, 3).
    """
    gap, margin, font = 6, 12, ImageFont.load_default(11)
    below = 0 if captions is None else 16  # each row's
    titles = [wrapped(title, cell, 13) for title, _ in headings]
    notes = [wrapped(note, cell, 11) for _, note in headings]
    title_height, note_height = (max(text.count("\n") + 1 for text in column) for column in (titles, notes))
    band = margin + 17 * title_height + 14 * note_height + gap
    width = 2 * margin + len(headings) * (cell + gap) - gap
    sheet = Image.new("RGB", (width, band + len(rows) * (cell + below + gap) - gap + margin), "white")
    pen = ImageDraw.Draw(sheet)
    for column, (title, note) in enumerate(zip(titles, notes, strict=True)):
        left = margin + column * (cell + gap)
        pen.text((left, margin), title, fill=(20, 20, 20), font=ImageFont.load_default(13))
        pen.text((left, margin + 17 * title_height), note, fill=(90, 90, 90), font=font)
        for place, row in enumerate(rows):
            top, picture = band + place * (cell + below + gap), row[column]
            if picture is None:
                pen.rectangle((left, top, left + cell - 1, top + cell - 1), fill=(240, 240, 240))
                middle = left + cell // 2, top + cell // 2
                pen.text(middle, "does not fit", fill=(110, 110, 110), font=font, anchor="mm")
            else:
                sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
            if captions is not None:
                text = _cut(captions[place][column], cell, font)
                pen.text((left + cell // 2, top + cell + 1), text, fill=(40, 40, 40), font=font, anchor="ma")
    return np.asarray(sheet)


def _legible(height: int) -> int:
    """The whole factor that brings an image to LEGIBLE pixels or more."""
    return -(-LEGIBLE // height)


def wrapped(text: str, width: int, size: int) -> str:
    """A text broken into lines of at most `width` pixels; between words, or inside of one that is wider."""
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
