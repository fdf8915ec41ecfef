"""Preview some of a source's images: as the network will see them, and at every named crop."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageOps

from ...config import DataConfig
from ...errors import DataError
from ...images.decode import quiet_pillow
from ...images.layouts import contact_sheet
from ...messages import counted
from ..image.crop import NAMED_CROPS, Crop, parse_crop
from ..image.resize import Preprocessing, to_image, to_square
from ..open import applied_crop
from ..parallel import parallel_map
from ..source import Delivered, ImageSource, shown
from ..split import select

_CELL = 128  # pixels: the side of each image on the sheet of crops


@dataclass(frozen=True)
class Preview:
    """Some images of a source, in the random order in which they were chosen."""

    squares: list[Image.Image]  # as the network will see them, mirroring aside; mode RGB, or L for one channel
    originals: list[Image.Image]  # the first of them uncropped, upright, at full size
    unusable: list[tuple[str, str]]  # the name of each that cannot be read or cropped, and why
    crop_name: str  # the crop that is used
    crop: Crop  # the same as a region; the full image for those that are cropped already


def choose(
    source: ImageSource, data: DataConfig, *, num: int, num_originals: int, resolution: int, channels: int, seed: int
) -> Preview:
    """Read `num` images chosen at random by the seed, or all if there are fewer; the first ones uncropped as well."""
    names = select(source, data)
    crop_name, crop = applied_crop(source, data)
    order = np.random.default_rng(seed).permutation(len(names))[: max(num, num_originals)]
    chosen = [names[place] for place in order]
    how = Preprocessing(crop, resolution, channels, data.filter, data.draft, data.reading)
    original = partial(to_image, channels=channels, reading=data.reading)

    def square_or_reason(_: str, content: Delivered) -> Image.Image | DataError:
        try:
            return to_square(content, how)
        except DataError as error:
            return error

    with quiet_pillow():
        results = dict(parallel_map(source, sorted(chosen), resolution, square_or_reason))
        squares = {name: each for name in chosen if not isinstance(each := results[name], DataError)}
        first = list(squares)[:num_originals]
        originals = dict(parallel_map(source, sorted(first), resolution, lambda _, each: original(each)))
    unusable = [(shown(name), str(results[name])) for name in chosen if name not in squares]
    if not squares:
        example = ": ".join(unusable[0])
        raise DataError(f"{data.source}: none of the {counted(len(chosen), 'chosen image')} can be used; {example}")
    return Preview(list(squares.values())[:num], [originals[name] for name in first], unusable, crop_name, crop)


def network_input(preview: Preview, *, mirror: bool, seed: int) -> np.ndarray:
    """Return the images as the network will see them, uint8 (N, C, H, W); with `mirror`, half of them are mirrored."""
    images = np.stack([np.asarray(image) for image in preview.squares])  # (N, H, W, 3) or (N, H, W)
    if mirror:
        flips = np.random.default_rng((seed, 1)).random(len(images)) < 0.5
        images[flips] = images[flips, :, ::-1]
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def crop_sheet(preview: Preview, *, resolution: int, filter: str) -> np.ndarray:
    """Draw a sheet, uint8 (height, width, 3), with a row for each original: uncropped, then at each crop that fits.

    Each crop is resized to the network's resolution first, and shown enlarged without smoothing.
    """
    crops = fitting_crops(preview)
    rows: list[list[Image.Image | None]] = []
    for image in preview.originals:
        row: list[Image.Image | None] = [ImageOps.contain(image, (_CELL, _CELL), Image.Resampling.LANCZOS)]
        for crop, _ in crops.values():
            row.append(_enlarge(crop.apply(image, resolution, filter)) if _region(image, crop) else None)
        rows.append(row)
    sizes = {f"{image.width}x{image.height}" for image in preview.originals}
    note = sizes.pop() if len(sizes) == 1 else "of several sizes"
    return contact_sheet(rows, [("full image", note), *((name, note) for name, (_, note) in crops.items())], _CELL)


def fitting_crops(preview: Preview) -> dict[str, tuple[Crop, str]]:
    """Return the crop that is used, then the named ones that fit any of the images, by name, each with a note.

    A crop that cuts the same region out of every image as an earlier one is only mentioned in the earlier one's note.
    """
    used = preview.crop_name
    note = f"used; {NAMED_CROPS[used]}" if used in NAMED_CROPS else "used"
    offered = {used: (preview.crop, note)}
    for name, users in NAMED_CROPS.items():
        offered.setdefault(name, (parse_crop(name), users))
    kept: dict[str, tuple[Crop, str]] = {}
    first: dict[tuple[object, ...], str] = {}  # the first crop that cuts out these regions
    for name, (crop, note) in offered.items():
        regions = tuple(_region(image, crop) for image in preview.originals)
        if earlier := first.get(regions):
            kept[earlier] = kept[earlier][0], f"{kept[earlier][1]}; same as {name} ({note})"
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
