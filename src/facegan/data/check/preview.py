"""Preview some of a source's images: as the network will see them, and at every named crop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from ...config import DataConfig
from ...errors import DataError
from ...images import contact_sheet
from ...images.decode import quiet_pillow
from ..image.crop import NAMED_CROPS, Crop, parse_crop
from ..image.resize import to_image, to_square
from ..open import applied_crop
from ..parallel import parallel_map
from ..source import Delivered, ImageSource, shown
from ..split import select

_CELL = 128  # pixels: the side of each image on the sheet of crops


@dataclass(frozen=True)
class Preview:
    """Some images of a source.

    Attributes:
        squares: As the network will see them, mirroring aside, in the random order in which they were chosen; mode RGB,
            or L for one channel.
        originals: The first of them uncropped, upright, at full size.
        unusable: (name, reason) of each chosen image that cannot be read or cropped.
        crop_name: The crop in force, as text.
        crop: The same as a region; the full image for those that are cropped already.
    """

    squares: tuple[Image.Image, ...]
    originals: tuple[Image.Image, ...]
    unusable: tuple[tuple[str, str], ...]
    crop_name: str
    crop: Crop


def choose(
    source: ImageSource, data: DataConfig, *, num: int, num_originals: int, resolution: int, channels: int, seed: int
) -> Preview:
    """Read images chosen at random, and no others.

    Args:
        source: The source that `data.source` names, opened.
        data: Which of the images, and how each is cropped.
        num: How many; all, if there are fewer.
        num_originals: How many of them are also returned uncropped.
        resolution: Side in pixels to which they are resized.
        channels: 3 for colour, 1 for grey.
        seed: The seed of the choice.

    Raises:
        DataError: None of them can be read and cropped, or the source is damaged.
    """
    names = select(source, data)
    crop_name, crop = applied_crop(source, data)
    order = np.random.default_rng(seed).permutation(len(names))[: max(num, num_originals)]
    chosen = [names[place] for place in order]

    def square_or_reason(_: str, content: Delivered) -> Image.Image | DataError:
        try:
            return to_square(
                content, crop=crop, resolution=resolution, channels=channels, filter=data.filter, draft=data.draft
            )
        except DataError as error:
            return error

    with quiet_pillow():
        read = dict(parallel_map(source, sorted(chosen), resolution, square_or_reason))
        results = {name: read[name] for name in chosen}
        squares = {name: image for name, image in results.items() if isinstance(image, Image.Image)}
        first = list(squares)[:num_originals]
        originals = dict(parallel_map(source, sorted(first), resolution, lambda _, each: to_image(each, channels)))
    unusable = tuple((shown(name), str(error)) for name, error in results.items() if isinstance(error, DataError))
    if not squares:
        name, reason = unusable[0]
        raise DataError(f"{data.source}: none of the {len(chosen)} chosen images can be used; {name}: {reason}")
    return Preview(tuple(squares.values())[:num], tuple(originals[name] for name in first), unusable, crop_name, crop)


def network_input(preview: Preview, *, mirror: bool, seed: int) -> np.ndarray:
    """Return the images as the network will see them: cropped, resized and, if `mirror`, half of them mirrored.

    Returns:
        uint8 (N, C, H, W).
    """
    squares = [np.asarray(image) for image in preview.squares]
    if mirror:
        flips = np.random.default_rng((seed, 1)).random(len(squares)) < 0.5
        squares = [pixels[:, ::-1] if flip else pixels for pixels, flip in zip(squares, flips, strict=True)]
    images = np.stack(squares)  # (N, H, W, 3) or (N, H, W)
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def crop_sheet(preview: Preview, *, resolution: int, filter: str) -> np.ndarray:
    """Draw a sheet with an image per row: uncropped, then at the crop in force and at each named crop that fits.

    Each crop is resized to the network's resolution first, and shown enlarged without smoothing.

    Args:
        preview: The images; there is a row for each original.
        resolution: Side in pixels to which the network's images are resized.
        filter: The resampling filter.

    Returns:
        uint8 (height, width, 3).
    """
    crops = fitting_crops(preview)
    rows: list[list[Image.Image | None]] = []
    for image in preview.originals:
        row: list[Image.Image | None] = [ImageOps.contain(image, (_CELL, _CELL), Image.Resampling.LANCZOS)]
        for crop, _ in crops.values():
            fits = _region(image, crop) is not None
            row.append(_enlarge(crop.apply(image, resolution, filter)) if fits else None)
        rows.append(row)
    headings = [("full image", _sizes(preview.originals)), *((name, note) for name, (_, note) in crops.items())]
    return contact_sheet(rows, headings, _CELL)


def fitting_crops(preview: Preview) -> dict[str, tuple[Crop, str]]:
    """Return the crop in force, and then the named ones that fit any of the images, by name, each with a note.

    A crop that cuts the same region out of every image as an earlier one is only mentioned in the earlier one's note.
    """
    in_force = preview.crop_name
    note = f"in force; {NAMED_CROPS[in_force]}" if in_force in NAMED_CROPS else "in force"
    offered = {in_force: (preview.crop, note)}
    for name, users in NAMED_CROPS.items():
        offered.setdefault(name, (parse_crop(name), users))
    kept: dict[str, tuple[Crop, str]] = {}
    first: dict[tuple[object, ...], str] = {}
    for name, (crop, note) in offered.items():
        regions = tuple(_region(image, crop) for image in preview.originals)
        if regions in first:
            earlier, earlier_note = kept[first[regions]]
            kept[first[regions]] = earlier, f"{earlier_note}; same as {name} ({note})"
        elif any(regions):
            first[regions] = name
            kept[name] = crop, note
    return kept


def _region(image: Image.Image, crop: Crop) -> tuple[int, int, int, int] | None:
    """Return the crop's region in an image, or None where it does not fit."""
    try:
        return crop.region(*image.size)
    except DataError:
        return None


def _enlarge(square: Image.Image) -> Image.Image:
    """Resize to the sheet's cell, or the nearest size below it: by an integer factor, without smoothing."""
    if square.width > _CELL:
        return square.resize((_CELL, _CELL), Image.Resampling.BOX)
    return ImageOps.scale(square, _CELL // square.width, Image.Resampling.NEAREST)


def _sizes(images: Sequence[Image.Image]) -> str:
    sizes = {f"{image.width}x{image.height}" for image in images}
    return sizes.pop() if len(sizes) == 1 else "of several sizes"
