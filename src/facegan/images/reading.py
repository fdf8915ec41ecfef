"""Pictures and films of ours, read back frame by frame to be compared."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from ..data.image.decode import quiet_pillow
from ..errors import DataError

_MARKS = (
    (".png", 0, b"\x89PNG"),
    (".jpg", 0, b"\xff\xd8"),
    (".webp", 8, b"WEBP"),
    (".gif", 0, b"GIF8"),
    (".mp4", 4, b"ftyp"),
)


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """The frames of an image (one), a film, or a folder of numbered PNGs: uint8 (H, W, 3) each.

    Raises:
        DataError: The file is no image or film that can be read.
        OSError: It cannot be read.
    """
    if path.is_dir():
        for frame in sorted(path.glob("frame-*.png")):
            yield from read_frames(frame)
        return
    if ending_of(path) == ".mp4":
        yield from _read_movie(path)
        return
    try:
        with quiet_pillow(), Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF")) as picture:
            for image in ImageSequence.Iterator(picture):
                yield np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: is no image that can be read ({error})") from None


def ending_of(path: Path) -> str:
    """The ending that suits what a file begins with, whatever its name; "/" of a folder, "" of no image of ours."""
    if path.is_dir():
        return "/"
    with path.open("rb") as file:
        start = file.read(12)
    return next((ending for ending, offset, mark in _MARKS if start[offset:].startswith(mark)), "")


def difference(path: Path, other: Path) -> tuple[int, int, int]:
    """How two images or films differ: (pixels that do, pixels in all, the largest difference of a channel in 0..255).

    Where sizes or numbers of frames differ, all pixels of the larger one do. Raises as `read_frames`.
    """
    differing = total = largest = 0
    for mine, others in zip_longest(read_frames(path), read_frames(other)):
        if mine is None or others is None or mine.shape != others.shape:
            size = max(frame.shape[0] * frame.shape[1] for frame in (mine, others) if frame is not None)
            differing, total, largest = differing + size, total + size, 255
            continue
        apart = np.abs(mine.astype(np.int16) - others).max(axis=2)
        differing += int((apart > 0).sum())
        total += apart.size
        largest = max(largest, int(apart.max()))
    return differing, total, largest


def _read_movie(path: Path) -> Iterator[np.ndarray]:
    import av

    try:
        with av.open(str(path), format="mov") as film:
            for frame in film.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise DataError(f"{path}: is no film that can be read ({error})") from None
