"""Decoding, cropping and writing pictures with all cores, in constant memory; a packed folder is complete or absent."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import Image

from .. import __version__
from ..errors import DataError, FaceganError
from .crops import Crop, parse_crop
from .decode import decode, plain, quiet_pillow
from .parallel import on_all_cores
from .pictures import Delivered, Pictures, shown
from .stored import IMAGES, INDEX, open_stored

_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Recipe:
    """All that packed pixels depend on.

    Attributes:
        crop: As `parse_crop` reads it.
        filter: The resampling filter.
        resolution: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        fingerprint: Of the pictures.
        cropped: Whether the pictures come cropped already, so that `crop` is on record only.
    """

    crop: str
    filter: str
    resolution: int
    channels: int
    fingerprint: str
    cropped: bool = False

    @property
    def image_bytes(self) -> int:
        """The size of one packed picture."""
        return self.channels * self.resolution**2


def pack(
    pictures: Pictures,
    names: Sequence[str],
    recipe: Recipe,
    path: Path,
    *,
    source: str,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the packed folder `path`, replacing a damaged one; if another process was faster, its folder stays.

    Raises:
        DataError: None of the pictures can be used.
        FaceganError: The disk is too small.
    """
    parse_crop(recipe.crop)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_room(path.parent, len(names) * recipe.image_bytes + 2**20)
        _remove_stale(path.parent)
        folder = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
        folder.mkdir()
    except OSError as error:
        raise _cannot_write(path.parent, error) from None
    try:
        with quiet_pillow():
            index = _fill(folder, pictures, names, recipe, progress)
        if not index["names"]:
            name, reason = index["skipped"][0]
            raise DataError(f"{source}: none of the {len(names)} pictures can be used; {shown(name)}: {reason}")
        _move_into_place(folder, path)
    except OSError as error:
        raise _cannot_write(path.parent, error) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(
    folder: Path,
    pictures: Pictures,
    names: Sequence[str],
    recipe: Recipe,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    """Write images.npy, a row a name and then without the rows that stayed empty, and index.json; return the latter."""
    crop = parse_crop("none" if recipe.cropped else recipe.crop)
    rows = {name: row for row, name in enumerate(names)}
    reasons = dict.fromkeys(names, "the source did not deliver it")
    with (folder / IMAGES).open("wb+") as file:
        start = file.write(_header(len(names), recipe))
        results = on_all_cores(pictures.read(names, recipe.resolution), partial(_pixels, crop=crop, recipe=recipe))
        for done, (name, result) in enumerate(results, start=1):
            if isinstance(result, bytes):
                file.seek(start + rows[name] * recipe.image_bytes)
                file.write(result)
                reasons.pop(name, None)
            else:
                reasons[name] = str(result)
            if progress is not None:
                progress(done, len(names))
        kept = [name for name in names if name not in reasons]
        _close_gaps(file, start, [rows[name] for name in kept], recipe)
        digest = _digest(file, start)
        _sync(file)
    index = {
        **vars(recipe),
        "digest": digest,
        "versions": {"facegan": __version__, "pillow": PIL.__version__},
        "skipped": list(reasons.items()),
        "attributes": pictures.attributes(kept),
        "names": kept,
    }
    with (folder / INDEX).open("wb") as file:
        file.write(json.dumps(index).encode())
        _sync(file)
    return index


def _pixels(content: Delivered, crop: Crop, recipe: Recipe) -> bytes | DataError:
    """One picture's bytes in the order (C, H, W), or why there are none."""
    if isinstance(content, DataError):
        return content
    try:
        image = (
            plain(content, recipe.channels) if isinstance(content, Image.Image) else decode(content, recipe.channels)
        )
        square = np.asarray(crop.apply(image, recipe.resolution, recipe.filter))  # (H, W, 3) or (H, W)
    except DataError as error:
        return error
    return (square.transpose(2, 0, 1) if square.ndim == 3 else square).tobytes()


def _header(num_images: int, recipe: Recipe) -> bytes:
    """The start of a .npy file; numpy pads it to the same length whatever the number of images."""
    shape = (num_images, recipe.channels, recipe.resolution, recipe.resolution)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _close_gaps(file: BinaryIO, start: int, rows: list[int], recipe: Recipe) -> None:
    """Move the kept rows together, and make the file and its header as short as that leaves it."""
    size = recipe.image_bytes
    for place, row in enumerate(rows):
        if place != row:
            file.seek(start + row * size)
            content = file.read(size)
            file.seek(start + place * size)
            file.write(content)
    file.truncate(start + len(rows) * size)
    header = _header(len(rows), recipe)
    if len(header) != start:
        raise AssertionError("numpy's header changed its length with the number of rows")
    file.seek(0)
    file.write(header)


def _digest(file: BinaryIO, start: int) -> str:
    file.seek(start)
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _move_into_place(folder: Path, path: Path) -> None:
    """Give a finished folder its name. What stands there is kept if it is sound, and removed if it is damaged."""
    for _ in range(3):
        try:
            folder.rename(path)
            return
        except OSError:
            if not path.exists():
                raise
        with contextlib.suppress(DataError):
            open_stored(path)
            return
        # Moved aside first: another process may be doing the same, and only one of the two moves succeeds.
        with contextlib.suppress(OSError):
            shutil.rmtree(path.rename(folder.with_name(folder.name + "-damaged")), ignore_errors=True)
    folder.rename(path)


def _remove_stale(parent: Path) -> None:
    """Remove what packings that were killed a day or longer ago left behind."""
    for folder in parent.glob(".*-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _check_room(parent: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(parent).free
    if needed_bytes > free_bytes:
        raise FaceganError(
            f"{parent}: no room for the packed pictures ({_size(needed_bytes)} needed, "
            f"{_size(free_bytes)} free); free some, or set FACEGAN_CACHE to a folder on another disk"
        )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def _cannot_write(parent: Path, error: OSError) -> FaceganError:
    return FaceganError(
        f"{parent}: the packed pictures cannot be written ({error.strerror or error}); "
        "set FACEGAN_CACHE to a folder with room that you may write to"
    )
