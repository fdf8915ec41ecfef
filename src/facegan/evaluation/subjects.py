"""What is judged, and what it is judged by: images as arrays, with all that must be said of them."""

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..data.packed.packed_images import PackedImages
from ..errors import FaceganError
from ..generator import FaceGenerator
from ..images import to_uint8
from ..sampling import sample
from .pair import Known

Progress = Callable[[int, int], None]
Rows = NDArray[np.int64]

_CHUNK_BYTES = 2**24


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images.

    Attributes:
        pictures: uint8 (N, C, H, W), may be memory-mapped.
        crop: What was cut out of each.
        filter: By which they were resized.
        source: Where they are from, in words.
        known: What else is known of them; its digest is that of all N.
    """

    pictures: NDArray[np.uint8]
    crop: str
    filter: str
    source: str
    known: Known


@dataclass(frozen=True, eq=False)
class Subject:
    """Pictures that are judged.

    Attributes:
        name: As it was named.
        pictures: uint8 (n, C, H, W).
        digests: SHA-256: "fake" of the pixels, "snapshot" of the file.
        D: The discriminator of the same snapshot, on its device; None without one.
        step: Of the snapshot.
        weights: "G_ema" or "G".
        warnings: What to keep in mind of these images, a sentence each.
        rows: int64 (n,): which of the images are judged, in an order that has nothing to do with what they show, as
            intervals need it; None: all, in their order.
    """

    name: str
    pictures: NDArray[np.uint8]
    digests: dict[str, str]
    D: nn.Module | None = None
    step: int | None = None
    weights: str | None = None
    warnings: tuple[str, ...] = field(default=())
    rows: NDArray[np.int64] | None = None

    def order(self) -> NDArray[np.int64]:
        """The rows that are judged."""
        return np.arange(len(self.pictures)) if self.rows is None else self.rows


def reference_of(packed: PackedImages, known: Known) -> Reference:
    """Packed images as the reals."""
    index = packed.index
    return Reference(packed.images, index.crop, index.filter, index.source, known)


@contextmanager
def drawn(generator: FaceGenerator, num: int, *, progress: Progress | None = None) -> Iterator[NDArray[np.uint8]]:
    """The faces of the seeds 0 to num - 1 as uint8 (num, C, H, W), in a file that goes when the context ends.

    They are the pixels that `facegan sample --separate` writes: 8-bit by the fixed affine map, through nothing lossy.
    The file lies where the system has its temporary ones, by TMPDIR.

    Raises:
        SnapshotError: An image holds values that are not finite.
        FaceganError: The disk has no room for them.
    """
    with tempfile.TemporaryDirectory(prefix="facegan-", ignore_cleanup_errors=True) as folder:
        kept: NDArray[np.uint8] | None = None
        done = 0
        for _, images in sample(generator, range(num)):
            pixels = to_uint8(images).numpy()
            if kept is None:
                kept = _room(Path(folder) / "faces", (num, *pixels.shape[1:]))
            kept[done : done + len(pixels)] = pixels
            done += len(pixels)
            if progress:
                progress(done, num)
        assert kept is not None, "at least one face"
        yield kept


def _room(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A memory-mapped file for which the disk has room: writing into one without would end the process by a signal."""
    size_bytes = math.prod(shape)
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            else:
                file.truncate(size_bytes)
    except OSError as error:
        raise FaceganError(
            f"{path.parent.parent}: has no room for {shape[0]:,} generated images of together "
            f"{size_bytes / 1e6:,.1f} MB ({error.strerror}); set TMPDIR to a folder that has, or draw fewer"
        ) from None
    mapped = np.memmap(path, np.uint8, "r+", shape=shape)
    with suppress(OSError):  # where the system allows it, the room is then given back whatever ends the process
        path.unlink()
    return mapped


def digest_of(pictures: NDArray[np.uint8]) -> str:
    """SHA-256 of pixels as they lie in the array, in hex; that of packed images for the same pixels."""
    running = hashlib.sha256()
    step = max(1, _CHUNK_BYTES // pictures[:1].nbytes)
    for start in range(0, len(pictures), step):
        running.update(np.ascontiguousarray(pictures[start : start + step]).tobytes())
    return running.hexdigest()
