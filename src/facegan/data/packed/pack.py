"""Decoding, cropping and writing images with all cores, in constant memory; a packed folder is complete or absent."""

import hashlib
import io
import json
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
from PIL import Image

from ... import __version__
from ...errors import DataError, FaceganError
from ...images.decode import quiet_pillow
from ...reporter import Progress
from ...storage.cache import cache_root
from ..image.crop import Crop, parse_crop
from ..image.jpeg import SIMPLEJPEG_VERSION
from ..image.resize import to_square
from ..parallel import parallel_map
from ..source import Delivered, ImageSource, as_text, num_unsupported, shown
from .columns import write_columns, write_json
from .packed_images import IMAGES, INDEX, LAYOUT, PICTURES, SKIPPED, Index

_one_writer = threading.Lock()  # where a file has one position for all threads
PACKING_VERSION = 2  # raised when the same images and settings would give other pixels


def decoders() -> dict[str, str]:
    """The libraries that make pixels, by the part of their version that may change them."""
    return {name: version.split(".")[0] for name, version in _decoder_versions().items()}


def _decoder_versions() -> dict[str, str]:
    return {"pillow": PIL.__version__} | ({"simplejpeg": SIMPLEJPEG_VERSION} if SIMPLEJPEG_VERSION else {})


@dataclass(frozen=True)
class Recipe:
    """All that packed pixels depend on.

    Attributes:
        crop: As `parse_crop` reads it.
        filter: The resampling filter.
        draft: Whether JPEG files are decoded at a reduced size where that is enough.
        resolution: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        fingerprint: Of the images.
        cropped: Whether the images come cropped already, so that `crop` is on record only.
    """

    crop: str
    filter: str
    resolution: int
    channels: int
    fingerprint: str
    draft: bool = False
    cropped: bool = False

    @property
    def key(self) -> str:
        """A name that differs whenever the pixels might."""
        parts = {**vars(self), "packing": PACKING_VERSION, **decoders()}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def image_bytes(self) -> int:
        """The size of one packed image."""
        return self.channels * self.resolution**2


def pack(
    pictures: ImageSource,
    names: Sequence[str],
    recipe: Recipe,
    path: Path,
    *,
    source: str,
    selection: str = "all",
    progress: Progress | None = None,
) -> None:
    """Write the packed folder `path`, replacing what stands there; what a killed packing left is cleared first.

    One process at a time: call it within `alone`. `source` and `selection` say in the index which images these are.

    Raises:
        DataError: None of the images can be used.
        FaceganError: The disk is too small.
    """
    parse_crop(recipe.crop)
    folder = growing(path)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        _check_room(path.parent, len(names) * recipe.image_bytes + 2**20)
        folder.mkdir()
        try:
            with quiet_pillow():
                _fill(folder, pictures, names, recipe, {"source": source, "selection": selection}, progress)
            _move_into_place(folder, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise cannot_write(path.parent, error) from None


def content_digest(content: Delivered) -> bytes:
    """SHA-256 of a file's bytes; of mode, size and pixels of a drawn image; empty where neither could be read."""
    if isinstance(content, DataError):
        return b""
    if isinstance(content, Image.Image):
        return hashlib.sha256(f"{content.mode} {content.size}".encode() + content.tobytes()).digest()
    return hashlib.sha256(content).digest()


def _fill(
    folder: Path,
    pictures: ImageSource,
    names: Sequence[str],
    recipe: Recipe,
    origin: dict[str, str],
    progress: Progress | None,
) -> None:
    """Write the array, a row a name and then without the rows that stayed empty, and the index."""
    crop = parse_crop("none" if recipe.cropped else recipe.crop)
    pictures.attributes(names[:1])  # what is wrong with a file of attributes shows now, not after all the decoding
    digests: dict[str, bytes] = {}
    reasons = dict.fromkeys(names, "the source did not deliver it")
    with (folder / IMAGES).open("wb+") as file:
        start = file.write(_header(len(names), recipe))
        file.flush()
        rows = {name: row for row, name in enumerate(names)}

        def keep(name: str, content: Delivered) -> tuple[bytes, DataError | None]:
            """Write an image into its row; its digest, and why it cannot be used, if so."""
            digest = content_digest(content)
            try:
                pixels = _pixels(content, crop, recipe)
            except DataError as error:
                return digest, error
            _write_at(file, start + rows[name] * recipe.image_bytes, pixels)
            return digest, None

        results = parallel_map(pictures, names, recipe.resolution, keep)
        for done, (name, (image_digest, refusal)) in enumerate(results, start=1):
            digests[name] = image_digest
            if refusal is not None:
                reasons[name] = str(refusal)
            else:
                reasons.pop(name, None)
            if progress is not None:
                progress(done, len(names))
        kept = [name for name in names if name not in reasons]
        if not kept:
            name, reason = next(iter(reasons.items()))
            raise DataError(f"{origin['source']}: none of the {len(names)} images can be used; {shown(name)}: {reason}")
        _close_gaps(file, start, [rows[name] for name in kept], recipe)
        file.flush()
        with ThreadPoolExecutor(1) as beside:  # the disk writes while the digest is computed
            written = beside.submit(os.fsync, file.fileno())
            digest = _digest(file, start)
            written.result()
    write_columns(
        folder / PICTURES, kept, [digests[name] for name in kept], pictures.attributes(kept), origin["source"]
    )
    skipped = [(as_text(name), reason, digests.get(name, b"").hex()) for name, reason in reasons.items()]
    write_json(folder / SKIPPED, skipped)
    facts = {key: value for key, value in vars(recipe).items() if key != "cropped"}
    versions = {"facegan": __version__, **_decoder_versions()}
    index = Index(
        layout=LAYOUT,
        packing=PACKING_VERSION,
        num_images=len(kept),
        num_skipped=len(reasons),
        passed_over=num_unsupported(pictures),
        digest=digest,
        versions=versions,
        **origin,
        **facts,
    )
    write_json(folder / INDEX, index.model_dump())


def _pixels(content: Delivered, crop: Crop, recipe: Recipe) -> bytes:
    """One image's bytes in the order (C, H, W); raises a DataError that says why there are none."""
    image = to_square(
        content, crop=crop, resolution=recipe.resolution, channels=recipe.channels, filter=recipe.filter,
        draft=recipe.draft,
    )  # fmt: skip
    if recipe.channels == 1:
        return image.tobytes()
    pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(recipe.resolution, recipe.resolution, 3)
    return pixels.transpose(2, 0, 1).tobytes()


def _write_at(file: BinaryIO, offset: int, content: bytes) -> None:
    """Write into a file at a place, whoever else writes at others; the file's own position is not to be relied on."""
    if hasattr(os, "pwrite"):
        while content:
            written = os.pwrite(file.fileno(), content, offset)
            content, offset = content[written:], offset + written
    else:
        with _one_writer:
            file.seek(offset)
            file.write(content)


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


def _move_into_place(folder: Path, path: Path) -> None:
    """Give a finished folder its name, in the place of what stands there."""
    if path.is_dir() and not any(path.iterdir()):  # somebody may be standing in it, or have linked to it
        for name in (IMAGES, PICTURES, SKIPPED, INDEX):  # the index last: with it, all is there
            (folder / name).rename(path / name)
    elif path.exists():
        old = folder.with_name(f"{folder.name}-replaced")
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
        folder.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    else:
        folder.rename(path)


def _check_room(parent: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(parent).free
    if needed_bytes > free_bytes:
        other = "set FACEGAN_CACHE to" if is_cache(parent) else "choose"
        raise FaceganError(
            f"{parent}: no room for the packed images ({size_in_words(needed_bytes)} needed, "
            f"{size_in_words(free_bytes)} free); free some, or {other} a folder on another disk"
        )


def size_in_words(size_bytes: int) -> str:
    """1.23 GB, or 4.5 MB."""
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def growing(path: Path) -> Path:
    """Return where a packed folder grows; a killed packing leaves it there, and the next one removes it."""
    return path.with_name(f".{path.name}.partial")


def cannot_write(parent: Path, error: OSError) -> FaceganError:
    """Return the error for a folder, in the cache or chosen by the user, that the system refuses to write."""
    what = f"{parent}: the packed images cannot be written ({error.strerror or error})"
    if is_cache(parent):
        return FaceganError(f"{what}; set FACEGAN_CACHE to a folder with room that you may write to")
    return DataError(f"{what}; choose another folder")


def is_cache(folder: Path) -> bool:
    """Return whether a folder lies in the cache."""
    return folder.is_relative_to(cache_root())
