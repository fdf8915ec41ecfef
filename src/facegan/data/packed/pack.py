"""Decode, crop and write images with all cores, in constant memory; a packed folder is complete or absent."""

import hashlib
import io
import json
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import Image

from ... import __version__
from ...errors import DataError, FaceganError
from ...images.decode import quiet_pillow
from ...reporter import Reporter
from ...storage.atomic import write_atomic
from ...storage.cache import cache_root
from ..image.crop import parse_crop
from ..image.jpeg import SIMPLEJPEG_VERSION
from ..image.resize import to_square
from ..parallel import parallel_map
from ..source import Delivered, ImageSource, as_text, num_unsupported, shown
from .packed_images import DIGEST, IMAGES, INDEX, LAYOUT, NAME, PICTURES, SKIPPED, Index

_one_writer = threading.Lock()  # where a file has one position for all threads
PACKING_VERSION = 2  # raised when the same images and settings would give other pixels


@dataclass(frozen=True)
class PackSpec:
    """Everything that packed pixels depend on.

    Attributes:
        crop: As `parse_crop` reads it.
        filter: The resampling filter.
        resolution: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        fingerprint: The images' fingerprint.
        draft: Whether JPEG files are decoded at a reduced size where that is enough.
        cropped: Whether the images are cropped already, so that `crop` is only recorded.
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
        parts = {**asdict(self), "packing": PACKING_VERSION, **decoder_majors()}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def image_bytes(self) -> int:
        """The size of one packed image."""
        return self.channels * self.resolution**2


@dataclass(frozen=True)
class PackJob:
    """Images of an opened source that are to be packed.

    Attributes:
        source: The source.
        names: Which of its images, sorted.
        spec: How they are packed.
        origin: What the index records of them: the source as `data.source` names it, and the selection as text.
    """

    source: ImageSource
    names: Sequence[str]
    spec: PackSpec
    origin: dict[str, str]


def decoder_majors() -> dict[str, str]:
    """Return the libraries that make pixels, by the part of their version that may change them."""
    return {name: version.split(".")[0] for name, version in _decoder_versions().items()}


def _decoder_versions() -> dict[str, str]:
    return {"pillow": PIL.__version__} | ({"simplejpeg": SIMPLEJPEG_VERSION} if SIMPLEJPEG_VERSION else {})


def pack(job: PackJob, path: Path, reporter: Reporter) -> None:
    """Write the packed folder `path`, replacing an existing one; remains of a killed packing are removed first.

    Only one process at a time may call it for a path.

    Raises:
        DataError: None of the images can be used.
        FaceganError: The disk is too small.
    """
    parse_crop(job.spec.crop)
    folder = growing(path)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        _check_room(path.parent, len(job.names) * job.spec.image_bytes + 2**20)
        folder.mkdir()
        try:
            with quiet_pillow():
                _fill(folder, job, reporter)
            _move_into_place(folder, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise cannot_write(path.parent, error) from None


def content_digest(content: Delivered) -> bytes:
    """Return the SHA-256 of a file's bytes, or of a drawn image's mode, size and pixels; empty for an unread file."""
    if isinstance(content, DataError):
        return b""
    if isinstance(content, Image.Image):
        return hashlib.sha256(f"{content.mode} {content.size}".encode() + content.tobytes()).digest()
    return hashlib.sha256(content).digest()


def _fill(folder: Path, job: PackJob, reporter: Reporter) -> None:
    """Write the four files of a packed folder."""
    job.source.attributes(job.names[:1])  # a malformed annotation file is reported before, not after, all the decoding
    with (folder / IMAGES).open("wb+") as file:
        digests, reasons = _write_images(file, job, reporter)
        file.flush()
        with ThreadPoolExecutor(1) as pool:  # the disk writes while the digest is computed
            written = pool.submit(os.fsync, file.fileno())
            file.seek(len(_npy_header(len(job.names), job.spec)))
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            written.result()
    kept = [name for name in job.names if name not in reasons]
    columns = job.source.attributes(kept)
    write_columns(folder / PICTURES, kept, [digests[name] for name in kept], columns, job.origin["source"])
    skipped = [(as_text(name), reason, digests[name].hex()) for name, reason in reasons.items()]
    write_atomic(folder / SKIPPED, json.dumps(skipped).encode())
    facts = {key: value for key, value in asdict(job.spec).items() if key != "cropped"}
    index = Index(
        layout=LAYOUT,
        packing=PACKING_VERSION,
        num_images=len(kept),
        num_skipped=len(reasons),
        passed_over=num_unsupported(job.source),
        digest=digest,
        versions={"facegan": __version__, **_decoder_versions()},
        **job.origin,
        **facts,
    )
    write_atomic(folder / INDEX, json.dumps(index.model_dump()).encode())


def _write_images(file: BinaryIO, job: PackJob, reporter: Reporter) -> tuple[dict[str, bytes], dict[str, str]]:
    """Write the array; return the digest of each image's content, and why images are missing from the array."""
    spec, names = job.spec, job.names
    crop = parse_crop("none" if spec.cropped else spec.crop)
    start = file.write(_npy_header(len(names), spec))
    file.flush()
    rows = {name: row for row, name in enumerate(names)}

    def write_row(name: str, content: Delivered) -> tuple[bytes, DataError | None]:
        digest = content_digest(content)
        try:
            image = to_square(
                content, crop=crop, resolution=spec.resolution, channels=spec.channels, filter=spec.filter,
                draft=spec.draft,
            )  # fmt: skip
        except DataError as error:
            return digest, error
        pixels = np.asarray(image)  # (H, W, 3) or (H, W)
        pixels = pixels if spec.channels == 1 else pixels.transpose(2, 0, 1)
        _write_at(file, start + rows[name] * spec.image_bytes, pixels.tobytes())
        return digest, None

    progress = reporter.counter("packing")
    results = dict(parallel_map(job.source, names, spec.resolution, write_row, progress=progress))
    digests = {name: digest for name, (digest, _) in results.items()}
    reasons = {name: str(error) for name in names if (error := results[name][1]) is not None}
    if len(reasons) == len(names):
        name, reason = next(iter(reasons.items()))
        where = job.origin["source"]
        raise DataError(f"{where}: none of the {len(names)} images can be used; {shown(name)}: {reason}")
    _close_gaps(file, start, [row for name, row in rows.items() if name not in reasons], spec)
    return digests, reasons


def _write_at(file: BinaryIO, offset: int, content: bytes) -> None:
    """Write at an offset while others write at other ones; the file's own position is undefined afterwards."""
    if hasattr(os, "pwrite"):
        while content:
            written = os.pwrite(file.fileno(), content, offset)
            content, offset = content[written:], offset + written
    else:
        with _one_writer:
            file.seek(offset)
            file.write(content)


def _npy_header(num_images: int, spec: PackSpec) -> bytes:
    """Return the start of a .npy file; numpy pads it to the same length whatever the number of images."""
    shape = (num_images, spec.channels, spec.resolution, spec.resolution)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _close_gaps(file: BinaryIO, start: int, rows: list[int], spec: PackSpec) -> None:
    """Move the kept rows together, and shorten the file and its header accordingly."""
    size = spec.image_bytes
    for place, row in enumerate(rows):
        if place != row:
            file.seek(start + row * size)
            content = file.read(size)
            file.seek(start + place * size)
            file.write(content)
    file.truncate(start + len(rows) * size)
    header = _npy_header(len(rows), spec)
    if len(header) != start:
        raise AssertionError("numpy's header changed its length with the number of rows")
    file.seek(0)
    file.write(header)


def write_columns(
    path: Path, names: list[str], digests: list[bytes], attributes: dict[str, list[Any]], source: str
) -> None:
    """Write a table with a row per image: its name, the SHA-256 of its file, its attributes.

    Args:
        path: The file.
        names: The images' names.
        digests: 32 bytes each.
        attributes: A column each, aligned with the names.
        source: The source's name in messages.

    Raises:
        DataError: A column holds values of several kinds, or its name is reserved.
    """
    import pyarrow.parquet  # heavy, and not needed to train

    columns: dict[str, Any] = {
        NAME: pyarrow.array([as_text(name) for name in names], pyarrow.string()),
        DIGEST: pyarrow.array(digests, pyarrow.binary(32)),
    }
    for key, values in attributes.items():
        if str(key) in columns:
            raise DataError(f"{source}: an attribute is called '{key}', which the index reserves; rename it")
        try:
            columns[str(key)] = pyarrow.array(values)
        except (pyarrow.ArrowException, TypeError):
            raise DataError(f"{source}: attribute '{key}' mixes words, numbers or others; give it one kind") from None
    table = pyarrow.table(columns)
    write_atomic(path, lambda temporary: pyarrow.parquet.write_table(table, temporary, compression="zstd"))


def _move_into_place(folder: Path, path: Path) -> None:
    """Give a complete folder its name, replacing an existing one."""
    if path.is_dir() and not any(path.iterdir()):  # it may be a working directory, or have links to it
        for name in (IMAGES, PICTURES, SKIPPED, INDEX):  # the index last: with it, the folder is complete
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
        needed, free = (f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB" for n in (needed_bytes, free_bytes))
        other = "set FACEGAN_CACHE to" if _is_cache(parent) else "choose"
        raise FaceganError(
            f"{parent}: no room for the packed images ({needed} needed, {free} free); "
            f"free some, or {other} a folder on another disk"
        )


def growing(path: Path) -> Path:
    """Return where a packed folder grows; a killed packing leaves it there, and the next one removes it."""
    return path.with_name(f".{path.name}.partial")


def cannot_write(parent: Path, error: OSError) -> FaceganError:
    """Return the error for a folder, in the cache or chosen by the user, that the system refuses to write."""
    what = f"{parent}: the packed images cannot be written ({error.strerror or error})"
    if _is_cache(parent):
        return FaceganError(f"{what}; set FACEGAN_CACHE to a folder with room that you may write to")
    return DataError(f"{what}; choose another folder")


def _is_cache(folder: Path) -> bool:
    return folder.is_relative_to(cache_root())
