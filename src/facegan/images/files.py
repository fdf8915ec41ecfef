"""Write images in the format of their path's suffix, with metadata about their origin, and read them."""

import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from .. import __version__
from ..errors import ConfigError, DataError, SnapshotError
from ..storage.atomic import open_regular, write_atomic
from .decode import decode, quiet_pillow, too_large

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_MAX_SIDE = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels
_MAX_EXIF = 65_000  # bytes, of a JPEG
# In the metadata of our PNGs and JPEGs, and of those of older versions.
_MARKS = (b"tEXtSoftware\0facegan ", b'"Software": "facegan ', b"tEXtfacegan\0")
_AHEAD = 256  # images that may wait to be written; bounds the memory


def read_grid(path: Path) -> Image.Image:
    """Read a grid of a run as an RGB image; raises SnapshotError for anything but a regular file with a valid image."""
    try:
        with open_regular(path) as file, quiet_pillow():
            if refusal := too_large(os.fstat(file.fileno()).st_size):
                raise refusal
            return decode(file.read(), 3)
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read ({error.strerror or error})") from None
    except DataError as error:
        raise SnapshotError(f"{path}: {error}; remove it to go without") from None


def is_sheet(content: bytes) -> bool:
    """Return whether an image file is a grid, a plot, a preview or an animation that facegan wrote: no single image."""
    head = content[:4096] if content.startswith(b"\x89PNG") else content
    if not any(mark in head for mark in _MARKS):
        return False
    try:
        with Image.open(io.BytesIO(content)) as file:
            is_single = file.width == file.height and file.width.bit_count() == 1  # the resolution of a model
            return not is_single or getattr(file, "n_frames", 1) > 1
    except Exception:  # damaged, as decoding it will tell
        return False


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image or animation through Pillow; raises DataError, also for damage that shows while it is read."""
    try:
        with quiet_pillow(), Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF")) as file:
            yield file
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: not a readable image ({error})") from None


def check_ending(path: Path, endings: Sequence[str] = ENDINGS, *, option: str = "-o") -> None:
    """Raise ConfigError for a path whose suffix is not one of `endings`."""
    if path.suffix.lower() not in endings:
        what = f"cannot write '{path.suffix}'" if path.suffix else "has no ending"
        raise ConfigError(f"{option} {path}: {what}; end it in {', '.join(endings)}")


def check_fits(path: Path, size: tuple[int, ...], text: Mapping[str, str] | None = None) -> None:
    """Raise ConfigError for a size, (height, width) in pixels, or metadata too large for the format of a path."""
    ending = path.suffix.lower()
    most = _MAX_SIDE.get(ending, max(size))
    if max(size) > most:
        raise ConfigError(
            f"-o {path}: {size[1]:,} x {size[0]:,} pixels; {ending} takes {most:,} a side, .png any number"
        )
    if ending in (".jpg", ".jpeg") and text and len(as_exif(text).tobytes()) > _MAX_EXIF:
        raise ConfigError(f"-o {path}: {ending} has no room for the metadata of so many latents; give .png or .webp")


def save(path: Path, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write an image atomically, in the format of its suffix, with metadata.

    Args:
        path: Ends in one of ENDINGS; missing folders are created.
        image: uint8 (H, W, 3) or (H, W).
        text: Metadata that `read_about` returns, next to the version of facegan: text chunks of a PNG; in JPEG and
            WebP, one JSON object as the Exif image description.

    Raises:
        ConfigError: The suffix is not a known format.
        OSError: The file cannot be written.
    """
    text = {"Software": f"facegan {__version__}", **(text or {})}
    check_ending(path)
    check_fits(path, image.shape[:2], text)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".png":
        write_atomic(path, lambda temporary: write_png(temporary, image, text))
        return
    write_atomic(path, lambda temporary: Image.fromarray(image).save(temporary, quality=95, exif=as_exif(text)))


def write_png(file: Path | IO[bytes], image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write a PNG with text chunks to a stream or temporary file."""
    notes = PngInfo()
    for key, value in (text or {}).items():
        notes.add_text(key, value)
    Image.fromarray(image).save(file, format="PNG", pnginfo=notes)


def as_exif(text: Mapping[str, str]) -> Image.Exif:
    """Return metadata as an Exif image description: one JSON object in ASCII."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = json.dumps(dict(text))
    return exif


def write_images(images: Iterable[tuple[Path, np.ndarray, Mapping[str, str]]]) -> Iterator[tuple[Path, str]]:
    """Write PNGs in parallel threads, each atomically; none is flushed to the disk, as they can be drawn again.

    Takes (path in a folder that exists, uint8 (H, W, 3) or (H, W), metadata) and yields (path, SHA-256 of the file in
    hex), in the order given. Raises OSError for a file that cannot be written; those before it are complete.
    """
    images, waiting = iter(images), deque[Future[tuple[Path, str]]]()
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="images")
    try:
        while True:
            waiting.extend(pool.submit(_write, *each) for each in islice(images, _AHEAD - len(waiting)))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _write(path: Path, image: np.ndarray, text: Mapping[str, str]) -> tuple[Path, str]:
    png = io.BytesIO()
    write_png(png, image, text)
    content = png.getvalue()
    write_atomic(path, content, durable=False)
    return path, hashlib.sha256(content).hexdigest()
