"""Check all images of a source, in one pass on all cores."""

import hashlib
import io
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field, computed_field

from ...config import DataConfig
from ...errors import DataError
from ...images.decode import lacks_end_marker, orientation, quiet_pillow
from ...reporter import SILENT, Reporter
from ..image.crop import Crop
from ..image.resize import to_image
from ..open import applied_crop
from ..parallel import parallel_map
from ..rules import BY_FACEGAN, num_left_out
from ..source import Delivered, ImageSource, SheetError, as_text
from ..split import select
from .duplicates import group_similar, perceptual_hash

# Bits of 64. On the 11,233 deep-funneled LFW photographs, 15 of the 16 pairs within 4 bits are one photograph twice;
# of the 37 at 6 bits about 5 are. Re-encoded and shrunken copies were within 4 bits without exception.
NEAR = 4
# How far from grey, of 128, the colours of a grey image lie after JPEG: on LFW up to 8, and of coloured ones from 17.
_GREY = 8
_ASPECT_RATIOS = (0.5, 0.67, 0.8, 0.95, 1.05, 1.25, 1.5, 2.0)  # bounds of width / height

Names = tuple[str, ...]


class Named(BaseModel, frozen=True):
    """An image and its problem."""

    name: str
    reason: str


class Moved(Named, frozen=True):
    """An image that was moved out of its folder, and its new path."""

    to: str


class Report(BaseModel, frozen=True):
    """The result of one pass over all images of a source. Names and groups are sorted.

    In a group of duplicates the first is the one to keep. The three kinds of duplicates do not overlap: of a group of
    one kind, only the first is compared for the next.
    """

    source: str = Field(description="the source that was checked")
    crop: str = Field(description="the crop that was tried on each image; `auto` is the largest centre square")
    resolution: int = Field(description="side in pixels to which each image would be resized")
    near: int | None = Field(description="bits in which near duplicates' hashes may differ; none: not searched")
    num_pictures: int = Field(description="images that the source lists after split and limit")
    passed_over: dict[str, int] = Field({}, description="files that are left out, by suffix or reason")
    size_bytes: int = Field(description="their files' sizes together, in bytes; 0 where there are no files")
    sizes: dict[str, int] = Field(description="images by width x height in pixels, upright, the most frequent first")
    shapes: dict[str, int] = Field(description="images by width / height, from tall to wide")
    modes: dict[str, int] = Field(description="images by Pillow's mode of the file, the most frequent first")
    formats: dict[str, int] = Field(description="images by the format of the file, the most frequent first")
    unreadable: tuple[Named, ...] = Field(description="files that cannot be decoded")
    refused: tuple[Named, ...] = Field(description="images that the crop does not fit")
    tiny: tuple[Named, ...] = Field(description="images whose crop is smaller than the resolution")
    duplicates: tuple[Names, ...] = Field(description="groups of files that are equal byte for byte")
    same_pixels: tuple[Names, ...] = Field(description="groups of different files that decode to equal pixels")
    near_duplicates: tuple[Names, ...] = Field(description="groups of images that look almost alike")
    greyscale: Names = Field(description="images without colour, whatever the file's mode")
    rotated: Names = Field(description="images turned upright by their EXIF orientation")
    unended: Names = Field((), description="JPEG files that lack their end marker, but no pixels")
    quarantined: tuple[Moved, ...] = Field((), description="images moved out of the folder")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def findings(self) -> dict[str, int]:
        """The number of images that each kind of finding concerns; of a group of duplicates, all but the first."""
        faulty = {kind: len(getattr(self, kind)) for kind in ("unreadable", "refused", "tiny")}
        kinds = ("duplicates", "same_pixels", "near_duplicates")
        return faulty | {kind: sum(len(group) - 1 for group in getattr(self, kind)) for kind in kinds}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def clean(self) -> bool:
        """Whether there are no findings. All others are notes."""
        return not any(self.findings.values())


@dataclass(frozen=True, slots=True)
class _Look:
    """A few hundred bytes about one image; `file` is None where there is no file, `hash` where none was asked for."""

    size: tuple[int, int]
    format: str
    mode: str
    file: bytes | None
    pixels: bytes
    hash: int | None
    is_grey: bool
    is_rotated: bool
    is_unended: bool


def check(
    source: ImageSource, data: DataConfig, *, resolution: int, near: int | None = None, reporter: Reporter = SILENT
) -> Report:
    """Read and decode every image that `data` selects once, and report statistics and findings.

    Args:
        source: The source that `data.source` names, opened.
        data: Which of the images, and the crop to try on them.
        resolution: Side in pixels to which they would be resized.
        near: Bits, of 64, in which the perceptual hashes of near duplicates may differ; -1: no search; None: NEAR for
            images that come as files, and no search among drawn or packed ones, which are alike by nature.
        reporter: Receives the progress of "checking".
    """
    names = select(source, data)
    crop_name, crop = applied_crop(source, data)
    looks: dict[str, _Look] = {}
    faults: dict[str, list[Named]] = {"unreadable": [], "refused": [], "tiny": []}
    left_out: Counter[str] = Counter()
    size_bytes = 0
    look, progress = partial(_look, near=near, reading=data.reading), reporter.counter("checking")
    with quiet_pillow():
        for key, (num_bytes, seen) in parallel_map(source, names, resolution, look, progress=progress):
            name = as_text(key)
            size_bytes += num_bytes
            if isinstance(seen, SheetError):
                left_out[BY_FACEGAN] += 1
                continue
            if isinstance(seen, DataError):
                faults["unreadable"].append(Named(name=name, reason=str(seen)))
                continue
            looks[name] = seen
            if fault := _crop_fault(crop, resolution, *seen.size):
                faults[fault[0]].append(Named(name=name, reason=fault[1]))
    return Report(
        source=data.source,
        crop=crop_name,
        resolution=resolution,
        num_pictures=len(names) - left_out.total(),
        passed_over={**num_left_out(source), **left_out},
        size_bytes=size_bytes,
        **{kind: sorted(named, key=lambda each: each.name) for kind, named in faults.items()},
        **_statistics(looks),
        **_duplicates(looks, near),
    )


def _look(_: str, content: Delivered, *, near: int | None, reading: int) -> tuple[int, _Look | DataError]:
    """Return an image's size in bytes and its properties, or why it has none."""
    if isinstance(content, DataError):
        return 0, content
    size_bytes = len(content) if isinstance(content, bytes) else 0
    try:
        image = to_image(content, 3, reading=reading)
    except DataError as error:
        return size_bytes, error
    file, format, mode, is_rotated = None, "no file", getattr(content, "mode", ""), False
    if isinstance(content, bytes):
        file = hashlib.sha256(content).digest()
        with Image.open(io.BytesIO(content)) as header:
            format, mode, is_rotated = str(header.format), header.mode, orientation(header) != 1
    is_hashed = near != -1 and (near is not None or file is not None)
    colours = np.asarray(image.convert("YCbCr"))[:, :, 1:]  # blue and red against grey, which is 128
    return size_bytes, _Look(
        size=image.size,
        format=format,
        mode=mode,
        file=file,
        pixels=hashlib.sha256(b"%d %d " % image.size + image.tobytes()).digest(),
        hash=perceptual_hash(image) if is_hashed else None,
        is_grey=bool(colours.min() >= 128 - _GREY and colours.max() <= 128 + _GREY),
        is_rotated=is_rotated,
        is_unended=isinstance(content, bytes) and lacks_end_marker(content),
    )


def _crop_fault(crop: Crop, resolution: int, width: int, height: int) -> tuple[str, str] | None:
    """Return the kind and reason of a finding, if the crop does not fit an image or is enlarged."""
    try:
        left, _, right, _ = crop.region(width, height)
    except DataError as error:
        return "refused", str(error)
    if (side := right - left) >= resolution:
        return None
    return "tiny", f"{side}x{side} of the image's {width}x{height} are enlarged to {resolution}x{resolution}"


def _statistics(looks: Mapping[str, _Look]) -> dict[str, Any]:
    seen = looks.values()
    ranges = [f"{low:g} to {high:g}" for low, high in pairwise(_ASPECT_RATIOS)]
    ranges[_ASPECT_RATIOS.index(0.95)] += " (square)"
    ranges = [f"below {_ASPECT_RATIOS[0]:g}", *ranges, f"{_ASPECT_RATIOS[-1]:g} and above"]
    shapes = Counter(bisect(_ASPECT_RATIOS, each.size[0] / each.size[1]) for each in seen)
    return {
        "sizes": _histogram(f"{each.size[0]}x{each.size[1]}" for each in seen),
        "shapes": {ranges[place]: num for place, num in sorted(shapes.items())},
        "modes": _histogram(each.mode for each in seen),
        "formats": _histogram(each.format for each in seen),
        "greyscale": sorted(name for name, each in looks.items() if each.is_grey),
        "rotated": sorted(name for name, each in looks.items() if each.is_rotated),
        "unended": sorted(name for name, each in looks.items() if each.is_unended),
    }


def _duplicates(looks: Mapping[str, _Look], near: int | None) -> dict[str, Any]:
    duplicates, remaining = _group(looks, {name: each.file for name, each in looks.items() if each.file})
    same_pixels, remaining = _group(remaining, {name: looks[name].pixels for name in remaining})
    hashes = {name: each for name in remaining if (each := looks[name].hash) is not None}
    bits = NEAR if near is None else near
    groups = group_similar(np.array(list(hashes.values()), np.uint64), bits) if hashes else []
    names = list(hashes)
    return {
        "near": bits if hashes else None,
        "duplicates": duplicates,
        "same_pixels": same_pixels,
        "near_duplicates": [[names[place] for place in group] for group in groups],
    }


def _group(names: Iterable[str], keys: Mapping[str, bytes]) -> tuple[list[list[str]], list[str]]:
    """Return the groups of names with equal keys, and the names without all but the first of each group; sorted."""
    by_key = defaultdict(list)
    for name, key in sorted(keys.items()):
        by_key[key].append(name)
    groups = sorted(group for group in by_key.values() if len(group) > 1)
    return groups, sorted(set(names) - {name for group in groups for name in group[1:]})


def _histogram(values: Iterable[str]) -> dict[str, int]:
    """Count values, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))
