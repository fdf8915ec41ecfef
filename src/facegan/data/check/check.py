"""An examination of all images of a source, in one pass and with all cores."""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import imagehash
import numpy as np
from PIL import Image

from ...config import DataConfig
from ...errors import DataError
from ..image.crop import Crop, parse_crop
from ..image.decode import decode, orientation, plain, quiet_pillow
from ..packed.packed_images import PackedSource
from ..parallel import parallel_map
from ..source import Delivered, ImageSource, as_text, passed_over
from ..split import select
from .duplicates import groups_alike
from .findings import Named, Names, Report

__all__ = ["NEAR", "Report", "check"]

# Bits of 64. On the 11,233 deep-funneled LFW photographs, 15 of the 16 pairs within 4 bits are one photograph twice;
# of the 37 at 6 bits about 5 are. Re-encoded and shrunken copies were within 4 bits without exception.
NEAR = 4
# How far from grey, of 128, the colours of a grey image lie after JPEG: on LFW up to 8, and of coloured ones from 17.
_GREY = 8
_SHAPES = (0.5, 0.67, 0.8, 0.95, 1.05, 1.25, 1.5, 2.0)  # bounds of width / height
_NO_FILE = "no file"


def check(
    pictures: ImageSource,
    data: DataConfig,
    *,
    resolution: int,
    near: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read and decode every selected image once, and say what there is and what is wrong.

    Args:
        pictures: What `data.source` names, opened.
        data: Which of the images, and the crop to try on them.
        resolution: Side in pixels to which they would be resized.
        near: Bits, of 64, in which the perceptual hashes of near duplicates may differ; -1: no search; None: NEAR for
            images that come as files, and no search among drawn or packed ones, which are alike by nature.
        progress: Called with (images done, images in all).

    Raises:
        DataError: The source holds none of the images asked for, or is damaged.
        ValueError: `near` is above `alike.MOST_BITS`.
    """
    names = select(pictures, data)
    crop = pictures.crop if data.crop == "auto" else data.crop
    cut = parse_crop("none" if isinstance(pictures, PackedSource) else crop)  # packed images are cropped already
    missing = dict.fromkeys((as_text(name) for name in names), "the source did not deliver it")
    tally = _Tally(cut, resolution, missing)
    look = partial(_look, hashed=near != -1, fileless=near is not None)
    with quiet_pillow():
        looks = parallel_map(pictures, names, resolution, look)
        for done, (name, (size_bytes, seen)) in enumerate(looks, start=1):
            tally.add(as_text(name), size_bytes, seen)
            if progress is not None:
                progress(done, len(names))
    duplicates, left = _groups(tally.files.items(), tally.pixels)
    same_pixels, left = _groups(((name, tally.pixels[name]) for name in left), left)
    searched = [name for name in left if name in tally.hashes]
    bits = None if near == -1 or not tally.hashes else NEAR if near is None else near
    return Report(
        source=data.source,
        crop=crop,
        resolution=resolution,
        near=bits,
        num_pictures=len(names),
        passed_over=dict(passed_over(pictures)),
        size_bytes=tally.size_bytes,
        sizes=_by_count(tally.sizes),
        shapes={words: tally.shapes[words] for words in _shape_words() if tally.shapes[words]},
        modes=_by_count(tally.modes),
        formats=_by_count(tally.formats),
        unreadable=_named(tally.unreadable),
        refused=_named(tally.refused),
        tiny=_named(tally.tiny),
        duplicates=duplicates,
        same_pixels=same_pixels,
        near_duplicates=() if bits is None else _alike(searched, tally.hashes, bits),
        greyscale=tuple(sorted(tally.greyscale)),
        rotated=tuple(sorted(tally.rotated)),
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """What is kept of one image; `file` is None where there is no file, `hash` where none was asked for."""

    size: tuple[int, int]
    format: str
    mode: str
    file: bytes | None
    pixels: bytes
    hash: int | None
    is_grey: bool
    is_rotated: bool


def _look(_: str, content: Delivered, *, hashed: bool, fileless: bool) -> tuple[int, _Look | DataError]:
    """One image's size in bytes and what there is to see, or why there is nothing."""
    size_bytes = len(content) if isinstance(content, bytes) else 0
    try:
        if isinstance(content, DataError):
            raise content
        image = decode(content, 3) if isinstance(content, bytes) else plain(content, 3)
        file, (format, mode, is_rotated) = None, (_NO_FILE, "", False)
        if isinstance(content, bytes):
            file, (format, mode, is_rotated) = hashlib.sha256(content).digest(), _header(content)
        else:
            mode, hashed = content.mode, hashed and fileless
    except DataError as error:
        return size_bytes, error
    pixels = hashlib.sha256(b"%d %d " % image.size)
    pixels.update(image.tobytes())
    return size_bytes, _Look(
        size=image.size,
        format=format,
        mode=mode,
        file=file,
        pixels=pixels.digest(),
        hash=_perceptual_hash(image) if hashed else None,
        is_grey=_is_grey(image),
        is_rotated=is_rotated,
    )


def _header(content: bytes) -> tuple[str, str, bool]:
    """The format and mode of a file that can be decoded, and whether its EXIF mark says that it lies turned."""
    with Image.open(io.BytesIO(content)) as image:
        return str(image.format), image.mode, orientation(image) != 1


def _perceptual_hash(image: Image.Image) -> int:
    """The 64 signs of the lowest frequencies against their median, as imagehash has them."""
    bits = imagehash.phash(image).hash  # bool (8, 8)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _is_grey(image: Image.Image) -> bool:
    """Whether no pixel of an RGB image differs from grey by more than JPEG's rounding."""
    colours = np.asarray(image.convert("YCbCr"))[:, :, 1:]  # blue and red against grey, which is 128
    return bool(colours.min() >= 128 - _GREY and colours.max() <= 128 + _GREY)


@dataclass
class _Tally:
    """What the pass has seen so far: a few hundred bytes an image."""

    crop: Crop
    resolution: int
    unreadable: dict[str, str]  # of every name until it is read
    size_bytes: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    files: dict[str, bytes] = field(default_factory=dict)
    pixels: dict[str, bytes] = field(default_factory=dict)
    hashes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    tiny: dict[str, str] = field(default_factory=dict)
    greyscale: list[str] = field(default_factory=list)
    rotated: list[str] = field(default_factory=list)

    def add(self, name: str, size_bytes: int, seen: _Look | DataError) -> None:
        """Count one image."""
        self.size_bytes += size_bytes
        if isinstance(seen, DataError):
            self.unreadable[name] = str(seen)
            return
        self.unreadable.pop(name, None)
        width, height = seen.size
        self.sizes[f"{width}x{height}"] += 1
        self.shapes[_shape_words()[sum(width / height >= bound for bound in _SHAPES)]] += 1
        self.modes[seen.mode] += 1
        self.formats[seen.format] += 1
        self.pixels[name] = seen.pixels
        if seen.file is not None:
            self.files[name] = seen.file
        if seen.hash is not None:
            self.hashes[name] = seen.hash
        if seen.is_grey:
            self.greyscale.append(name)
        if seen.is_rotated:
            self.rotated.append(name)
        self._try_crop(name, width, height)

    def _try_crop(self, name: str, width: int, height: int) -> None:
        try:
            left, _, right, _ = self.crop.region(width, height)
        except DataError as error:
            self.refused[name] = str(error)
            return
        if right - left < self.resolution:
            self.tiny[name] = (
                f"{right - left}x{right - left} of the image's {width}x{height} are enlarged to "
                f"{self.resolution}x{self.resolution}"
            )


def _shape_words() -> list[str]:
    """What the ranges of width / height are called, from tall to wide."""
    between = [f"{low:g} to {high:g}" for low, high in pairwise(_SHAPES)]
    between[_SHAPES.index(0.95)] += " (square)"
    return [f"below {_SHAPES[0]:g}", *between, f"{_SHAPES[-1]:g} and above"]


def _groups(keyed: Iterable[tuple[str, bytes]], names: Iterable[str]) -> tuple[tuple[Names, ...], list[str]]:
    """The groups of names with equal keys, and those of `names` that are in none, or the first of one; all sorted."""
    by_key = defaultdict(list)
    for name, key in keyed:
        by_key[key].append(name)
    groups = tuple(sorted(tuple(sorted(group)) for group in by_key.values() if len(group) > 1))
    later = {name for group in groups for name in group[1:]}
    return groups, sorted(set(names) - later)


def _alike(names: Sequence[str], hashes: dict[str, int], bits: int) -> tuple[Names, ...]:
    """The groups of sorted names whose hashes are within `bits` of each other."""
    values = np.array([hashes[name] for name in names], np.uint64)
    return tuple(tuple(names[place] for place in group) for group in groups_alike(values, bits))


def _by_count(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _named(reasons: dict[str, str]) -> tuple[Named, ...]:
    return tuple(Named(name=name, reason=reason) for name, reason in sorted(reasons.items()))
