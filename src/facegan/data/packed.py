"""Every picture decoded once: the selected pictures of a source as one memory-mapped array, kept in the cache."""

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import PIL

from ..config import DataConfig
from ..errors import DataError
from .packing import Recipe, pack
from .sources import open_source
from .split import select
from .stored import PackedImages, StoredSource, open_stored

__all__ = ["PackedImages", "check_enough", "count", "load"]

PACKING_VERSION = 1  # raised when the same pictures and settings would give other pixels


def count(data: DataConfig) -> int:
    """How many pictures the selection lists; nothing is decoded, so undecodable ones are counted too.

    Raises:
        DataError: As `load`, for what shows without decoding.
    """
    return len(select(open_source(data), data))


def load(
    data: DataConfig,
    *,
    resolution: int,
    channels: int,
    at_least: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> PackedImages:
    """The selected pictures at this size, from the cache when they have been packed before.

    Args:
        data: Which pictures, and how each is cropped and resized.
        resolution: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        at_least: Fewer pictures than this (a batch) are refused, if possible before any is packed.
        progress: Called with (pictures done, pictures in all) while packing; not called when nothing is packed.

    Raises:
        DataError: The source is missing, empty or unsafe, or too few of its pictures can be used.
        FaceganError: The disk has no room for the packed pictures.
    """
    pictures = open_source(data)
    names = select(pictures, data)
    check_enough(len(names), at_least, data.source)
    if isinstance(pictures, StoredSource):
        pictures.check(crop=data.crop, filter=data.filter, resolution=resolution, channels=channels)
        if len(names) == len(pictures.names):
            return pictures.packed
    recipe = Recipe(
        crop=pictures.crop if data.crop == "auto" else data.crop,
        filter=data.filter,
        resolution=resolution,
        channels=channels,
        fingerprint=pictures.fingerprint(names),
        cropped=isinstance(pictures, StoredSource),
    )
    path = _cache_folder() / _key(recipe)
    packed = None
    with contextlib.suppress(DataError):  # nothing there, or something damaged
        packed = open_stored(path)
    if packed is None:
        pack(pictures, names, recipe, path, source=data.source, progress=progress)
        packed = open_stored(path)
    check_enough(len(packed), at_least, data.source)
    return packed


def check_enough(num_images: int, batch_size: int, source: str) -> None:
    """Refuse a set that does not fill one batch.

    Raises:
        DataError: There are fewer pictures than a batch takes.
    """
    if num_images < batch_size:
        raise DataError(f"{source}: found {num_images} images, need at least {batch_size} (train.batch_size)")


def _cache_folder() -> Path:
    from ..downloads import cache_root

    return cache_root() / "packed"


def _key(recipe: Recipe) -> str:
    """A name for the packed folder that differs whenever its pixels might."""
    parts = {**vars(recipe), "packing": PACKING_VERSION, "pillow": PIL.__version__.split(".")[0]}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
