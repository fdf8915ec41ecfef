"""Packed pictures on the disk: a folder of `images.npy` (uint8, N x C x H x W) and `index.json`."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DataError
from .pictures import Delivered, encoded

IMAGES = "images.npy"
INDEX = "index.json"


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Pictures of one size, decoded and cropped, memory-mapped from the disk.

    Attributes:
        images: uint8 (N, C, H, W), read-only.
        names: The pictures' names in their source, sorted.
        attributes: What is known of them: one column per attribute, aligned with the names.
        skipped: (name, reason) of each picture that could not be used.
        crop: The crop that was applied; "auto" is the largest centre square.
        filter: The resampling filter.
        digest: SHA-256 of the pixels, as they lie in `images`.
        path: The folder.
    """

    images: NDArray[np.uint8]
    names: list[str]
    attributes: dict[str, list[Any]]
    skipped: list[tuple[str, str]]
    crop: str
    filter: str
    digest: str
    path: Path

    def __len__(self) -> int:
        return len(self.names)

    @property
    def channels(self) -> int:
        """3 for colour, 1 for grey."""
        return int(self.images.shape[1])

    @property
    def resolution(self) -> int:
        """Height and width in pixels."""
        return int(self.images.shape[2])


def is_stored(path: Path) -> bool:
    """Whether a folder holds packed pictures."""
    return (path / IMAGES).is_file() and (path / INDEX).is_file()


def open_stored(path: Path, *, where: str | None = None) -> PackedImages:
    """Open a folder of packed pictures.

    Raises:
        DataError: It is damaged: a file is missing, cut short or unreadable, or the two disagree.
    """
    where = where or f"{path}/"
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        images = np.load(path / IMAGES, mmap_mode="r", allow_pickle=False)
        packed = PackedImages(
            images=images,
            names=list(index["names"]),
            attributes={str(key): list(column) for key, column in index["attributes"].items()},
            skipped=[(name, reason) for name, reason in index["skipped"]],
            crop=str(index["crop"]),
            filter=str(index["filter"]),
            digest=str(index["digest"]),
            path=path,
        )
        shape = (len(packed.names), index["channels"], index["resolution"], index["resolution"])
        size_bytes = (path / IMAGES).stat().st_size
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where}: damaged packed pictures ({reason}); pack them again") from None
    if images.dtype != np.uint8 or images.shape != shape or not images.flags.c_contiguous or not packed.names:
        raise DataError(f"{where}: damaged packed pictures ({IMAGES} and {INDEX} disagree); pack them again")
    if size_bytes != images.offset + images.nbytes:
        raise DataError(f"{where}: damaged packed pictures ({IMAGES} has {size_bytes} bytes); pack them again")
    return packed


class StoredSource:
    """Packed pictures as a source, from which a part can be taken.

    Attributes:
        names: As they were in the source that was packed.
        crop: The crop that was applied when they were packed.
        packed: The pictures.
    """

    def __init__(self, path: Path, *, where: str | None = None) -> None:
        """Open a folder of packed pictures; raises as `open_stored`."""
        self.where = where or f"{path}/"
        self.packed = open_stored(path, where=where)
        self.names: Sequence[str] = self.packed.names
        self.crop = self.packed.crop
        self._rows = {name: row for row, name in enumerate(self.names)}

    def check(self, *, crop: str, filter: str, resolution: int, channels: int) -> None:
        """Refuse settings other than those the pictures were packed with.

        Raises:
            DataError: One differs; it is named.
        """
        packed = self.packed
        for setting, wanted, given in (
            ("resolution", resolution, packed.resolution),
            ("channels", channels, packed.channels),
            ("data.crop", packed.crop if crop == "auto" else crop, packed.crop),
            ("data.filter", filter, packed.filter),
        ):
            if wanted != given:
                raise DataError(
                    f"{self.where}: packed with {setting} = {given}, not {wanted}; "
                    f"set {setting} = {given}, or give the original pictures"
                )

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """The columns that were packed, for these names."""
        rows = [self._rows[name] for name in names]
        return {key: [column[row] for row in rows] for key, column in self.packed.attributes.items()}

    def fingerprint(self, names: Sequence[str]) -> str:
        """Of the packed pixels and the names."""
        digest = hashlib.sha256(self.packed.digest.encode())
        for name in names:
            digest.update(b"\n" + encoded(name))
        return digest.hexdigest()

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield the packed pictures themselves."""
        for name in names:
            pixels = self.packed.images[self._rows[name]]  # (C, H, W)
            yield name, Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
