"""Decode, crop and write images with all cores, in constant memory; a packed folder is complete or absent."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import Image

from ... import __version__
from ...config import DataConfig
from ...errors import DataError, FaceganError
from ...images.decode import lacks_end_marker, quiet_pillow
from ...messages import counted, os_reason
from ...reporter import Reporter
from ...storage.atomic import write_atomic
from ...storage.cache import cache_root, hashed_key, remove_packed
from ...storage.locks import exclusive_lock, lock_file
from ..image.crop import parse_crop
from ..image.jpeg import SIMPLEJPEG_VERSION
from ..image.resize import Preprocessing, to_square
from ..open import absolute_source, applied_crop
from ..parallel import parallel_map
from ..rules import num_left_out
from ..source import Delivered, ImageSource, as_text, shown
from ..split import select
from .packed_images import DIGEST, IMAGES, INDEX, LAYOUT, NAME, PICTURES, SKIPPED, Index, PackedSource

PACKING_VERSIONS = {1: 2, 2: 3}  # by `data.reading`; raised when the same images and settings would give other pixels


@dataclass(frozen=True)
class PackJob:
    """Images of an opened source that are to be packed."""

    source: ImageSource
    names: Sequence[str]  # which of its images, sorted
    index: Index  # how; what shows only while they are packed is still empty
    is_cropped: bool  # already: `index.crop` is only recorded
    reading: int  # version of the rules of decoding

    @classmethod
    def of(cls, source: ImageSource, data: DataConfig, resolution: int, channels: int) -> "PackJob":
        """Select images, each to become resolution x resolution pixels of 1 or 3 channels."""
        packed = source.packed if isinstance(source, PackedSource) else None
        if isinstance(source, PackedSource):
            source.check_settings(data, resolution, channels)
        names = select(source, data)
        settings = {**data.options, "split": data.split, "where": data.where, "limit": data.limit}
        selection = " ".join(f"{key}={value}" for key, value in settings.items() if value not in ("all", "", 0))
        index = Index(
            layout=LAYOUT,
            packing=PACKING_VERSIONS[data.reading],
            source=absolute_source(data.source),
            selection=selection or "all",
            num_images=len(names),
            num_skipped=0,
            passed_over={},
            channels=channels,
            resolution=resolution,
            crop=applied_crop(source, data)[0],
            filter=data.filter,
            draft=packed.index.draft if packed else data.draft,
            fingerprint=source.fingerprint(names),
            digest="",
            versions={"facegan": __version__, **_decoder_versions()},
        )
        return cls(source, names, index, packed is not None, data.reading)

    @property
    def key(self) -> str:
        """A name that differs whenever the pixels might."""
        facts = {"crop", "filter", "resolution", "channels", "fingerprint", "draft", "packing"}
        parts = {**self.index.model_dump(include=facts), "cropped": self.is_cropped, **decoder_majors()}
        return hashed_key(json.dumps(parts, sort_keys=True))

    @property
    def image_bytes(self) -> int:
        """The size of one packed image."""
        return self.index.channels * self.index.resolution**2


def decoder_majors() -> dict[str, str]:
    """Return the libraries that make pixels, by the part of their version that may change them."""
    return {name: version.split(".")[0] for name, version in _decoder_versions().items()}


def _decoder_versions() -> dict[str, str]:
    return {"pillow": PIL.__version__} | ({"simplejpeg": SIMPLEJPEG_VERSION} if SIMPLEJPEG_VERSION else {})


@contextmanager
def exclusive(job: PackJob, path: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the lock for packing into `path`; while another process holds it, report that one's progress.

    Raises FaceganError for an OSError of the lock or of the files.
    """

    def report() -> None:
        with suppress(OSError):  # the other one has not begun to write, or has just ended
            status = (_growing(path) / IMAGES).stat()
            # Rows are written in any order: count what the disk holds, where the system says so.
            size_bytes = min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512)
            done = min(size_bytes // job.image_bytes, len(job.names) - 1)
            reporter.progress("packing", done, len(job.names))

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(lock_file(path), report):
            yield
    except OSError as error:
        what = f"{path.parent}: the packed images cannot be written ({os_reason(error)})"
        if path.is_relative_to(cache_root()):
            raise FaceganError(f"{what}; set FACEGAN_CACHE to a folder with room that you may write to") from None
        raise DataError(f"{what}; choose another folder") from None


def pack(job: PackJob, path: Path, reporter: Reporter) -> None:
    """Write the packed folder `path` with the `exclusive` lock held, replacing an existing one.

    Remains of a killed packing are removed first. Raises DataError when none of the images can be used, FaceganError
    when the disk is too small.
    """
    folder = _growing(path)
    remove_packed(folder)
    _check_room(path.parent, len(job.names) * job.image_bytes + 2**20)
    folder.mkdir()
    try:
        with quiet_pillow():
            _fill(folder, job, reporter)
        _move_into_place(folder, path)
    finally:
        with suppress(OSError):
            remove_packed(folder)


def content_digest(content: Delivered) -> bytes:
    """Return the SHA-256 of a file's bytes, or of a drawn image's mode, size and pixels; empty for an unread file."""
    if isinstance(content, DataError):
        return b""
    if isinstance(content, Image.Image):
        return hashlib.sha256(f"{content.mode} {content.size}".encode() + content.tobytes()).digest()
    return hashlib.sha256(content).digest()


def _fill(folder: Path, job: PackJob, reporter: Reporter) -> None:
    """Write the four files of a packed folder."""
    source, names = job.index.source, job.names
    job.source.attributes(names[:1])  # a malformed annotation file is reported before, not after, all the decoding
    for note in getattr(job.source, "notes", ()):
        reporter.info(note)
    results = _write_rows(folder / IMAGES, job, reporter)
    reasons = {name: reason for name in names if (reason := results[name][1])}
    kept = [name for name in names if name not in reasons]
    if not kept:
        name, reason = next(iter(reasons.items()))
        raise DataError(f"{source}: none of the {counted(len(names), 'image')} can be used; {shown(name)}: {reason}")
    rows = [row for row, name in enumerate(names) if name not in reasons]
    digest = _close_gaps(folder / IMAGES, rows, job)
    columns = job.source.attributes(kept)
    write_columns(folder / PICTURES, kept, [results[name][0] for name in kept], columns, source)
    skipped = [(as_text(name), reason, results[name][0].hex()) for name, reason in reasons.items()]
    write_atomic(folder / SKIPPED, json.dumps(skipped).encode())
    found = {"num_images": len(kept), "num_skipped": len(reasons), "digest": digest}
    found["num_unended"] = sum(results[name][2] for name in kept)
    index = job.index.model_copy(update={**found, "passed_over": num_left_out(job.source)})
    write_atomic(folder / INDEX, json.dumps(index.model_dump()).encode())


def _write_rows(path: Path, job: PackJob, reporter: Reporter) -> dict[str, tuple[bytes, str, bool]]:
    """Write the array with a row for each name.

    Returns the digest of each name's content, why it could not be used, or "", and whether it lacks an end marker.
    """
    index = job.index
    crop = parse_crop("none" if job.is_cropped else index.crop)
    how = Preprocessing(crop, index.resolution, index.channels, index.filter, index.draft, job.reading)
    with path.open("wb") as file:
        start = _write_header(file, len(job.names), index)
    rows = {name: row for row, name in enumerate(job.names)}

    def write_row(name: str, content: Delivered) -> tuple[bytes, str, bool]:
        digest = content_digest(content)
        try:
            image = to_square(content, how)
        except DataError as error:
            return digest, str(error), False
        pixels = np.asarray(image)  # (H, W, 3) or (H, W)
        with path.open("rb+") as file:  # each worker has its own position
            file.seek(start + rows[name] * job.image_bytes)
            file.write((pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)).tobytes())
        return digest, "", isinstance(content, bytes) and lacks_end_marker(content)

    progress = reporter.counter("packing")
    return dict(parallel_map(job.source, job.names, index.resolution, write_row, progress=progress))


def _close_gaps(path: Path, rows: list[int], job: PackJob) -> str:
    """Move the kept rows together, flush them to the disk, and return the digest of the pixels."""
    size = job.image_bytes
    with path.open("rb+") as file:
        start = _write_header(file, len(rows), job.index)
        for place, row in enumerate(rows):
            if place != row:
                file.seek(start + row * size)
                content = file.read(size)
                file.seek(start + place * size)
                file.write(content)
        file.truncate(start + len(rows) * size)
        file.seek(start)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return digest


def _write_header(file: BinaryIO, num_images: int, index: Index) -> int:
    """Write the start of a .npy file; return its length, which numpy pads to be the same for any number of images."""
    shape = (num_images, index.channels, index.resolution, index.resolution)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()


def write_columns(
    path: Path, names: list[str], digests: list[bytes], attributes: dict[str, list[Any]], source: str
) -> None:
    """Write a table with a row per image: its name, the SHA-256 of its file (32 bytes), its attributes.

    Raises DataError, which names `source`, for a column of several kinds or a reserved name.
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

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # Arrow itself opens no path that is not UTF-8
            pyarrow.parquet.write_table(table, file, compression="zstd")

    write_atomic(path, write)


def _move_into_place(folder: Path, path: Path) -> None:
    """Give a complete folder its name, replacing an existing one."""
    if path.is_dir() and not any(path.iterdir()):  # it may be a working directory, or have links to it
        for name in (IMAGES, PICTURES, SKIPPED, INDEX):  # the index last: with it, the folder is complete
            (folder / name).rename(path / name)
        return
    old = folder.with_name(f"{folder.name}-replaced")
    remove_packed(old)
    with suppress(FileNotFoundError):
        path.rename(old)
    folder.rename(path)
    with suppress(OSError):
        remove_packed(old)


def _check_room(parent: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(parent).free
    if needed_bytes > free_bytes:
        needed, free = (f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB" for n in (needed_bytes, free_bytes))
        other = "set FACEGAN_CACHE to" if parent.is_relative_to(cache_root()) else "choose"
        raise FaceganError(
            f"{parent}: no room for the packed images ({needed} needed, {free} free); "
            f"free some, or {other} a folder on another disk"
        )


def _growing(path: Path) -> Path:
    """Return where a packed folder grows; a killed packing leaves it there, and the next one removes it."""
    return path.with_name(f".{path.name}.partial")
