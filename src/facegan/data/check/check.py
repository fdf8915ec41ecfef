"""Check all images of a source, in one pass on all cores."""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from PIL import Image

from ...config import DataConfig
from ...errors import DataError
from ...images.decode import orientation, quiet_pillow
from ...reporter import SILENT, Reporter
from ..image.crop import Crop
from ..image.resize import to_image
from ..open import applied_crop
from ..parallel import parallel_map
from ..source import Delivered, ImageSource, as_text, num_unsupported
from ..split import select
from .duplicates import group_similar, perceptual_hash
from .findings import Named, Names, Report

__all__ = ["NEAR", "Report", "check"]

# Bits of 64. On the 11,233 deep-funneled LFW photographs, 15 of the 16 pairs within 4 bits are one photograph twice;
# of the 37 at 6 bits about 5 are. Re-encoded and shrunken copies were within 4 bits without exception.
NEAR = 4
# How far from grey, of 128, the colours of a grey image lie after JPEG: on LFW up to 8, and of coloured ones from 17.
_GREY = 8
_ASPECT_RATIOS = (0.5, 0.67, 0.8, 0.95, 1.05, 1.25, 1.5, 2.0)  # bounds of width / height
_NO_FILE = "no file"


def check(
    source: ImageSource,
    data: DataConfig,
    *,
    resolution: int,
    near: int | None = None,
    reporter: Reporter = SILENT,
) -> Report:
    """Read and decode every selected image once, and report statistics and findings.

    Args:
        source: The source that `data.source` names, opened.
        data: Which of the images, and the crop to try on them.
        resolution: Side in pixels to which they would be resized.
        near: Bits, of 64, in which the perceptual hashes of near duplicates may differ; -1: no search; None: NEAR for
            images that come as files, and no search among drawn or packed ones, which are alike by nature.
        reporter: Receives the progress of "checking".

    Raises:
        DataError: The source holds none of the images asked for, or is damaged.
        ValueError: `near` is above `duplicates.MOST_BITS`.
    """
    names = select(source, data)
    crop_name, crop = applied_crop(source, data)
    unreadable: dict[str, str] = {}
    looks: dict[str, _Look] = {}
    size_bytes = 0
    look = partial(_look, hashed=near != -1, fileless=near is not None)
    progress = reporter.counter("checking")
    with quiet_pillow():
        for name, (num_bytes, seen) in parallel_map(source, names, resolution, look, progress=progress):
            size_bytes += num_bytes
            if isinstance(seen, DataError):
                unreadable[as_text(name)] = str(seen)
            else:
                looks[as_text(name)] = seen
    duplicates, remaining = _group(looks, {name: seen.file for name, seen in looks.items() if seen.file})
    same_pixels, remaining = _group(remaining, {name: looks[name].pixels for name in remaining})
    hashes = {name: seen.hash for name in remaining if (seen := looks[name]).hash is not None}
    bits = None if near == -1 or all(seen.hash is None for seen in looks.values()) else NEAR if near is None else near
    refused, tiny = _try_crop(crop, resolution, {name: seen.size for name, seen in looks.items()})
    return Report(
        source=data.source,
        crop=crop_name,
        resolution=resolution,
        near=bits,
        num_pictures=len(names),
        passed_over=num_unsupported(source),
        size_bytes=size_bytes,
        sizes=_histogram(f"{seen.size[0]}x{seen.size[1]}" for seen in looks.values()),
        shapes=_aspect_ratios(seen.size[0] / seen.size[1] for seen in looks.values()),
        modes=_histogram(seen.mode for seen in looks.values()),
        formats=_histogram(seen.format for seen in looks.values()),
        unreadable=_named(unreadable),
        refused=_named(refused),
        tiny=_named(tiny),
        duplicates=duplicates,
        same_pixels=same_pixels,
        near_duplicates=() if bits is None else _near_duplicates(hashes, bits),
        greyscale=tuple(sorted(name for name, seen in looks.items() if seen.is_grey)),
        rotated=tuple(sorted(name for name, seen in looks.items() if seen.is_rotated)),
    )


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


def _look(_: str, content: Delivered, *, hashed: bool, fileless: bool) -> tuple[int, _Look | DataError]:
    """Return an image's size in bytes and its properties, or why it has none."""
    if isinstance(content, DataError):
        return 0, content
    size_bytes = len(content) if isinstance(content, bytes) else 0
    try:
        image = to_image(content, 3)
    except DataError as error:
        return size_bytes, error
    if isinstance(content, bytes):
        file = hashlib.sha256(content).digest()
        with Image.open(io.BytesIO(content)) as header:
            format, mode, is_rotated = str(header.format), header.mode, orientation(header) != 1
    else:
        file, format, mode, is_rotated, hashed = None, _NO_FILE, content.mode, False, hashed and fileless
    pixels = hashlib.sha256(b"%d %d " % image.size)
    pixels.update(image.tobytes())
    return size_bytes, _Look(
        size=image.size,
        format=format,
        mode=mode,
        file=file,
        pixels=pixels.digest(),
        hash=perceptual_hash(image) if hashed else None,
        is_grey=_is_grey(image),
        is_rotated=is_rotated,
    )


def _is_grey(image: Image.Image) -> bool:
    """Return whether no pixel of an RGB image differs from grey by more than JPEG's rounding."""
    colours = np.asarray(image.convert("YCbCr"))[:, :, 1:]  # blue and red against grey, which is 128
    return bool(colours.min() >= 128 - _GREY and colours.max() <= 128 + _GREY)


def _try_crop(
    crop: Crop, resolution: int, sizes: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the images that the crop does not fit, and those that would be enlarged; with reasons."""
    refused, tiny = {}, {}
    for name, (width, height) in sizes.items():
        try:
            left, _, right, _ = crop.region(width, height)
        except DataError as error:
            refused[name] = str(error)
            continue
        if right - left < resolution:
            square = f"{right - left}x{right - left} of the image's {width}x{height}"
            tiny[name] = f"{square} are enlarged to {resolution}x{resolution}"
    return refused, tiny


def _aspect_ratios(ratios: Iterable[float]) -> dict[str, int]:
    """Count ratios of width / height in named ranges, from tall to wide; empty ranges are left out."""
    between = [f"{low:g} to {high:g}" for low, high in pairwise(_ASPECT_RATIOS)]
    between[_ASPECT_RATIOS.index(0.95)] += " (square)"
    names = [f"below {_ASPECT_RATIOS[0]:g}", *between, f"{_ASPECT_RATIOS[-1]:g} and above"]
    counts = Counter(sum(ratio >= bound for bound in _ASPECT_RATIOS) for ratio in ratios)
    return {name: counts[place] for place, name in enumerate(names) if counts[place]}


def _group(names: Iterable[str], keys: Mapping[str, bytes]) -> tuple[tuple[Names, ...], list[str]]:
    """Return the groups of names with equal keys, and the names without all but the first of each group; sorted."""
    by_key = defaultdict(list)
    for name, key in keys.items():
        by_key[key].append(name)
    groups = tuple(sorted(tuple(sorted(group)) for group in by_key.values() if len(group) > 1))
    return groups, sorted(set(names) - {name for group in groups for name in group[1:]})


def _near_duplicates(hashes: Mapping[str, int], bits: int) -> tuple[Names, ...]:
    """Return the groups of names whose hashes are within `bits` of each other."""
    names = list(hashes)
    groups = group_similar(np.array(list(hashes.values()), np.uint64), bits)
    return tuple(tuple(names[place] for place in group) for group in groups)


def _histogram(values: Iterable[str]) -> dict[str, int]:
    """Count values, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _named(reasons: Mapping[str, str]) -> tuple[Named, ...]:
    return tuple(Named(name=name, reason=reason) for name, reason in sorted(reasons.items()))
