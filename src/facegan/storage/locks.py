"""Who may write a packed folder: one process at a time, and where it grows until it is complete."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..data.packed.packed_images import IMAGES
from ..downloads import cache_root
from ..errors import DataError, FaceganError

Progress = Callable[[int, int], None]  # (images done, images in all)

_POLL_SECONDS = 0.5


@contextmanager
def alone(path: Path, *, num_images: int, image_bytes: int, progress: Progress | None) -> Iterator[None]:
    """Hold the right to write the packed folder `path`; the system takes it back from a process that dies.

    Args:
        path: The folder that is to be written.
        num_images: Images to pack.
        image_bytes: Of one packed image.
        progress: While another process is packing them, called with how far that one has come.

    Raises:
        FaceganError: The folders cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        while not _acquired(lock, _POLL_SECONDS):
            with contextlib.suppress(OSError):  # the other one has not begun to write, or has just ended
                status = (growing(path) / IMAGES).stat()
                # Rows are written in any order: what counts is what the disk holds, where the system says so.
                size_bytes = min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512)
                if progress is not None:
                    progress(min(size_bytes // image_bytes, num_images - 1), num_images)
    except OSError as error:
        raise cannot_write(path.parent, error) from None
    try:
        yield
    finally:
        lock.release()


def is_being_written(path: Path) -> bool:
    """Whether a process is packing into `path` just now."""
    try:
        lock = _lock(path)
        if not _acquired(lock, 0):
            return True
    except OSError:  # a cache that nobody may write
        return False
    lock.release()
    return False


def _lock(path: Path) -> FileLock:
    """The lock of a packed folder: an empty file in the cache, which stays."""
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]}.lock")


def _acquired(lock: FileLock, seconds: float) -> bool:
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    return True


def growing(path: Path) -> Path:
    """Where a packed folder grows; a killed packing leaves it there, and the next one clears it."""
    return path.with_name(f".{path.name}.partial")


def cannot_write(parent: Path, error: OSError) -> FaceganError:
    """The one line of a packing that the file system refuses: of the cache's folder, or of one that was asked for."""
    what = f"{parent}: the packed images cannot be written ({error.strerror or error})"
    if is_cache(parent):
        return FaceganError(f"{what}; set FACEGAN_CACHE to a folder with room that you may write to")
    return DataError(f"{what}; choose another folder")


def is_cache(parent: Path) -> bool:
    """Whether a folder is the cache's, and not one that was asked for."""
    return parent.is_relative_to(cache_root())
