"""Packed images on disk: one memory-mapped array, and an index; opening reads only the facts of the index.

A packed folder holds `images.npy` (uint8, N x C x H x W), `index.json` (how they were packed, and a digest of the
pixels), `pictures.parquet` (a row per image: name, SHA-256 of its file, attributes) and `skipped.json` (the images that
could not be used, and why).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from ...config import DataConfig
from ...errors import DataError
from ...messages import one_line
from ..source import Delivered, encoded, fingerprint_of, shown

IMAGES, INDEX, PICTURES, SKIPPED = "images.npy", "index.json", "pictures.parquet", "skipped.json"
NAME, DIGEST = "_name", "_sha256"  # the columns of PICTURES that are no attributes
CHUNK_BYTES = 2**24  # hashed at a time
LAYOUT = 2  # raised when the files of a packed folder change their meaning


class Index(BaseModel):
    """How the images of a packed folder were made."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    layout: int  # the version of the folder's files
    packing: int  # the version of decoding and resizing that made the pixels
    source: str  # the source, as `data.source` names it
    selection: str  # which of its images: "all", or the settings that chose them
    num_images: int  # packed images
    num_skipped: int  # images that could not be used
    passed_over: dict[str, int]  # files of the source that are left out, by suffix or reason
    num_unended: int = 0  # JPEG files that lack their end marker, but no pixels
    channels: int  # 3 for colour, 1 for grey
    resolution: int  # height and width in pixels
    crop: str  # the crop that was applied; "auto" is the largest centre square
    filter: str  # the resampling filter
    draft: bool  # whether JPEG files were decoded at a reduced size
    fingerprint: str  # the source's fingerprint, from names, sizes and times
    digest: str  # SHA-256 of the pixels in the order of the array
    versions: dict[str, str]  # versions of the libraries that made them


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Images of one size, decoded and cropped: uint8 (N, C, H, W), memory-mapped from a folder.

    Names, digests and attributes are read on first use, and raise as `open_packed`.
    """

    images: NDArray[np.uint8]
    index: Index
    path: Path

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels in the order of `images`."""
        return self.index.digest

    @property
    def num_skipped(self) -> int:
        """The number of images that could not be used."""
        return self.index.num_skipped

    @cached_property
    def names(self) -> list[str]:
        """The images' names in their source, sorted."""
        return self._columns([NAME])[NAME]

    @cached_property
    def digests(self) -> list[bytes]:
        """SHA-256 of each image's file (of the pixels, if there was no file), aligned with the names."""
        return self._columns([DIGEST])[DIGEST]

    @cached_property
    def attributes(self) -> dict[str, list[Any]]:
        """One column per attribute, aligned with the names."""
        return {key: column for key, column in self._columns(None).items() if key not in (NAME, DIGEST)}

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of each image that could not be used."""
        return [(name, reason) for name, reason, _ in self._skipped]

    def are_equal(self) -> bool:
        """Return whether all images, two or more, are one and the same."""
        return len(self) > 1 and all(np.array_equal(image, self.images[0]) for image in self.images[1:])

    @property
    def skipped_digests(self) -> dict[str, bytes]:
        """SHA-256 of the file of each image that could not be used; empty if it could not even be read."""
        return {name: digest for name, _, digest in self._skipped}

    @cached_property
    def _skipped(self) -> list[tuple[str, str, bytes]]:
        try:
            rows = json.loads((self.path / SKIPPED).read_text(encoding="utf-8"))
            return [(str(name), str(reason), bytes.fromhex(digest)) for name, reason, digest in rows]
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise _damaged(f"{self.path}/", error) from None

    def _columns(self, names: list[str] | None) -> dict[str, list[Any]]:
        import pyarrow.parquet  # heavy, and not needed to train

        try:
            with (self.path / PICTURES).open("rb") as file:  # Arrow itself opens no path that is not UTF-8
                # Without threads: one that still holds the file when Python ends aborts the process.
                table = pyarrow.parquet.ParquetFile(file, pre_buffer=False).read(names, use_threads=False)
            columns = {str(key): table[key].to_pylist() for key in table.column_names}
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise _damaged(f"{self.path}/", error) from None
        if table.num_rows != len(self):
            raise _damaged(f"{self.path}/", f"{PICTURES} and {INDEX} disagree")
        return columns


def is_packed(path: Path) -> bool:
    """Return whether a folder holds packed images."""
    try:
        return (path / IMAGES).is_file() and (path / INDEX).is_file()
    except PermissionError:
        return False


def open_packed(path: Path, *, where: str | None = None) -> PackedImages:
    """Open a folder of packed images: map the array and read a few facts, whatever the number of images.

    Raises DataError for a file that is missing, cut short or unreadable, and for two that disagree.
    """
    where = where or f"{path}/"
    try:
        facts = json.loads((path / INDEX).read_text(encoding="utf-8"))
        if isinstance(facts, dict) and facts.get("layout", 1) != LAYOUT:
            raise DataError(f"{where}: packed by another version of facegan; pack the original images again")
        index = Index.model_validate(facts)
        images = np.load(path / IMAGES, mmap_mode="r", allow_pickle=False)
        size_bytes = (path / IMAGES).stat().st_size
        for name in (PICTURES, SKIPPED):
            (path / name).stat()
    except DataError:
        raise
    except Exception as error:  # on damaged bytes numpy alone raises half a dozen kinds
        raise _damaged(where, error) from None
    shape = (index.num_images, index.channels, index.resolution, index.resolution)
    is_array = images.dtype == np.uint8 and images.shape == shape and images.flags.c_contiguous and len(images)
    if not is_array or size_bytes != images.offset + images.nbytes:
        raise _damaged(where, f"{IMAGES} and {INDEX} disagree")
    return PackedImages(images=images, index=index, path=path)


def digest_pixels(images: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of pixels in the order of the array, in hex; equals a packed set's digest for equal pixels."""
    running = hashlib.sha256()
    step = max(1, CHUNK_BYTES // images[:1].nbytes)
    for start in range(0, len(images), step):
        running.update(images[start : start + step].tobytes())
    return running.hexdigest()


def is_damaged(packed: PackedImages) -> bool:
    """Return whether the pixels differ from those that were packed; reads all of them."""
    return digest_pixels(packed.images) != packed.digest


def check_pixels(packed: PackedImages) -> None:
    """Raise DataError if the pixels differ from those that were packed; reads all of them."""
    if is_damaged(packed):
        raise _damaged(f"{packed.path}/", "their digest is another")


def check_settings(index: Index, where: str, wanted: Mapping[str, object], otherwise: str) -> None:
    """Raise DataError for the first of these settings that the images were not packed with."""
    for name, value in wanted.items():
        packed = getattr(index, name.removeprefix("data."))
        if value != packed:
            given = shown(str(packed))  # from a file
            raise DataError(
                f"{where}: packed with {name} = {given}, not {value}; set {name} = {given.lower()}, or {otherwise}"
            )


def _damaged(where: str, reason: Exception | str) -> DataError:
    return DataError(f"{where}: damaged packed images ({one_line(reason, 100)}); pack them again")


class PackedSource:
    """Packed images as a source, from which a part can be selected; `crop` was applied when they were packed."""

    def __init__(self, path: Path, *, where: str | None = None) -> None:
        self.where = where or f"{path}/"
        self.packed = open_packed(path, where=where)
        self.crop = self.packed.index.crop

    @cached_property
    def names(self) -> Sequence[str]:
        """The names in the source that was packed."""
        names = self.packed.names
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise _damaged(self.where, f"{PICTURES} does not name each image once")
        return names

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    def check_settings(self, data: DataConfig, resolution: int, channels: int) -> None:
        """Raise DataError for a setting that the images were not packed with."""
        wanted = {
            "resolution": resolution,
            "channels": channels,
            "data.crop": self.crop if data.crop == "auto" else data.crop,
            "data.filter": data.filter,
            "data.draft": data.draft or self.packed.index.draft,
        }
        check_settings(self.packed.index, self.where, wanted, "give the original images")

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the columns that were packed, for these names."""
        rows = [self._rows[name] for name in names]
        return {key: [column[row] for row in rows] for key, column in self.packed.attributes.items()}

    def fingerprint(self, names: Sequence[str]) -> str:
        """Hash the digest of the packed pixels and the names."""
        return fingerprint_of(encoded(self.packed.digest), names)

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield the packed images themselves."""
        for name in names:
            pixels = self.packed.images[self._rows[name]]  # (C, H, W)
            yield name, Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
