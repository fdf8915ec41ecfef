"""A look at some of a source's images: as the network will see them, and at every named crop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from ...config import DataConfig
from ...errors import DataError
from ...images import contact_sheet
from ..image.crop import NAMED_CROPS, Crop, parse_crop
from ..image.decode import decode, plain, quiet_pillow
from ..image.resize import square
from ..packed.packed_images import PackedSource
from ..parallel import parallel_map
from ..source import Delivered, ImageSource, shown
from ..split import select

_CELL = 128  # pixels: the side of each image on the sheet of crops


@dataclass(frozen=True)
class Chosen:
    """Some images of a source.

    Attributes:
        squares: As the network will see them, mirroring aside, in the random order in which they were chosen; mode RGB,
            or L for one channel.
        pictures: The first of them whole, upright, at full size.
        unusable: (name, reason) of each chosen image that cannot be read or cropped.
        crop: The crop in force, as its words.
        cut: The same as a region; the whole image for those that come cropped.
    """

    squares: tuple[Image.Image, ...]
    pictures: tuple[Image.Image, ...]
    unusable: tuple[tuple[str, str], ...]
    crop: str
    cut: Crop


def choose(
    pictures: ImageSource, data: DataConfig, *, num: int, num_whole: int, resolution: int, channels: int, seed: int
) -> Chosen:
    """Read so many images at random, and no others.

    Args:
        pictures: What `data.source` names, opened.
        data: Which of the images, and how each is cropped.
        num: How many; all, if there are fewer.
        num_whole: How many of them are kept whole as well.
        resolution: Side in pixels to which they are resized.
        channels: 3 for colour, 1 for grey.
        seed: What the choice is drawn from.

    Raises:
        DataError: None of them can be read and cropped, or the source is damaged.
    """
    names = select(pictures, data)
    crop = pictures.crop if data.crop == "auto" else data.crop
    cut = parse_crop("none" if isinstance(pictures, PackedSource) else crop)
    places = np.random.default_rng(seed).permutation(len(names))[: max(num, num_whole)]
    chosen = [names[place] for place in places]

    def as_square(_: str, content: Delivered) -> Image.Image | DataError:
        try:
            return square(
                content, crop=cut, resolution=resolution, channels=channels, filter=data.filter, draft=data.draft
            )
        except DataError as error:
            return error

    def as_whole(_: str, content: Delivered) -> Image.Image:
        if isinstance(content, DataError):
            raise content
        return plain(content, channels) if isinstance(content, Image.Image) else decode(content, channels)

    with quiet_pillow():
        read = dict(parallel_map(pictures, sorted(chosen), resolution, as_square))
        results = {name: read.get(name, DataError("the source did not deliver it")) for name in chosen}
        squares = {name: image for name, image in results.items() if isinstance(image, Image.Image)}
        first = list(squares)[:num_whole]
        whole = dict(parallel_map(pictures, sorted(first), resolution, as_whole))
    unusable = tuple((shown(name), str(error)) for name, error in results.items() if isinstance(error, DataError))
    if not squares:
        name, reason = unusable[0]
        raise DataError(f"{data.source}: none of the {len(chosen)} chosen images can be used; {name}: {reason}")
    return Chosen(tuple(squares.values())[:num], tuple(whole[name] for name in first), unusable, crop, cut)


def as_seen(chosen: Chosen, *, mirror: bool, seed: int) -> np.ndarray:
    """The images as the network will see them: cropped, resized and, if asked for, half of them mirrored.

    Returns:
        uint8 (N, C, H, W).
    """
    squares = [np.asarray(image) for image in chosen.squares]
    if mirror:
        flips = np.random.default_rng((seed, 1)).random(len(squares)) < 0.5
        squares = [pixels[:, ::-1] if flip else pixels for pixels, flip in zip(squares, flips, strict=True)]
    seen = np.stack(squares)  # (N, H, W, 3) or (N, H, W)
    return seen[:, None] if seen.ndim == 3 else seen.transpose(0, 3, 1, 2)


def crops_compared(chosen: Chosen, *, resolution: int, filter: str) -> np.ndarray:
    """A sheet with an image a row: the whole of it, then the crop in force and each named crop that fits.

    Each crop is resized to the network's size first, and shown enlarged without smoothing.

    Args:
        chosen: The images; those that were kept whole have a row each.
        resolution: Side in pixels to which the network's images are resized.
        filter: The resampling filter.

    Returns:
        uint8 (height, width, 3).
    """
    compared = crops_that_fit(chosen)
    rows: list[list[Image.Image | None]] = []
    for image in chosen.pictures:
        row: list[Image.Image | None] = [ImageOps.contain(image, (_CELL, _CELL), Image.Resampling.LANCZOS)]
        for crop, _ in compared.values():
            fits = _region(image, crop) is not None
            row.append(_enlarged(crop.apply(image, resolution, filter)) if fits else None)
        rows.append(row)
    headings = [
        ("whole image", _size_words(chosen.pictures)),
        *((words, about) for words, (_, about) in compared.items()),
    ]
    return contact_sheet(rows, headings, _CELL)


def crops_that_fit(chosen: Chosen) -> dict[str, tuple[Crop, str]]:
    """The crop in force, and then the named ones that fit any of the images; by their words.

    One that cuts the same region out of every image as an earlier one is only mentioned there.

    Returns:
        For each, the crop and what to say of it.
    """
    offered = {chosen.crop: (chosen.cut, "in force")}
    if chosen.crop in NAMED_CROPS:
        offered[chosen.crop] = chosen.cut, f"in force; {NAMED_CROPS[chosen.crop]}"
    for words, whose in NAMED_CROPS.items():
        offered.setdefault(words, (parse_crop(words), whose))
    kept: dict[str, tuple[Crop, str]] = {}
    first: dict[tuple[object, ...], str] = {}
    for words, (crop, about) in offered.items():
        regions = tuple(_region(image, crop) for image in chosen.pictures)
        if regions in first:
            earlier, said = kept[first[regions]]
            kept[first[regions]] = earlier, f"{said}; same as {words} ({about})"
        elif any(regions):
            first[regions] = words
            kept[words] = crop, about
    return kept


def _region(image: Image.Image, crop: Crop) -> tuple[int, int, int, int] | None:
    """The crop's region in an image, or None where it does not fit."""
    try:
        return crop.region(*image.size)
    except DataError:
        return None


def _enlarged(square: Image.Image) -> Image.Image:
    """The image at the sheet's size, or the nearest below it: enlarged by a whole factor, each pixel a square."""
    if square.width > _CELL:
        return square.resize((_CELL, _CELL), Image.Resampling.BOX)
    return ImageOps.scale(square, _CELL // square.width, Image.Resampling.NEAREST)


def _size_words(pictures: Sequence[Image.Image]) -> str:
    sizes = {f"{image.width}x{image.height}" for image in pictures}
    return sizes.pop() if len(sizes) == 1 else "of several sizes"
