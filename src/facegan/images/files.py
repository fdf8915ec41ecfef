"""Write images in the format of their path's suffix, with metadata about their origin, and read it back."""

import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from ..errors import ConfigError, DataError, SnapshotError
from ..storage.atomic import open_regular, write_atomic
from .decode import decode, quiet_pillow, too_large

MOST_SIDE = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels
MOST_EXIF = 65_000  # bytes, of a JPEG
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_AHEAD = 256  # images that may wait to be written; bounds the memory


def read_grid(path: Path) -> Image.Image:
    """Read a grid of a run as an RGB image.

    Raises:
        SnapshotError: The file is missing, unreadable, damaged, not a regular file, or not an image.
    """
    try:
        with open_regular(path) as file, quiet_pillow():
            if refusal := too_large(os.fstat(file.fileno()).st_size):
                raise refusal
            return decode(file.read(), 3)
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read ({error.strerror or error})") from None
    except DataError as error:
        raise SnapshotError(f"{path}: {error}; remove it to go without") from None


def check_ending(path: Path, endings: Sequence[str] = ENDINGS, *, option: str = "-o") -> None:
    """Refuse a path whose suffix is not one of the formats.

    Raises:
        ConfigError: The suffix is not one of `endings`.
    """
    if path.suffix.lower() not in endings:
        what = f"cannot write '{path.suffix}'" if path.suffix else "has no ending"
        raise ConfigError(f"{option} {path}: {what}; end it in {', '.join(endings)}")


def check_fits(path: Path, size: tuple[int, ...], text: Mapping[str, str] | None = None) -> None:
    """Refuse an image that is too large for its format.

    Args:
        path: Its suffix gives the format.
        size: Height and width in pixels.
        text: Its metadata.

    Raises:
        ConfigError: The image or its metadata is too large.
    """
    ending = path.suffix.lower()
    most = MOST_SIDE.get(ending, max(size))
    if max(size) > most:
        raise ConfigError(
            f"-o {path}: {size[1]:,} x {size[0]:,} pixels; {ending} takes {most:,} a side, .png any number"
        )
    if ending in (".jpg", ".jpeg") and text and len(as_exif(text).tobytes()) > MOST_EXIF:
        raise ConfigError(f"-o {path}: has more latents to tell of than {ending} has room for; give .png or .webp")


def save(path: Path, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write an image atomically, in the format of its suffix, with metadata.

    Args:
        path: Ends in one of ENDINGS; missing folders are created.
        image: uint8 (H, W, 3) or (H, W).
        text: Metadata that `read_about` returns: text chunks of a PNG; in JPEG and WebP, one JSON object as the Exif
            image description.

    Raises:
        ConfigError: The suffix is not a known format.
        OSError: The file cannot be written.
    """
    check_ending(path)
    check_fits(path, image.shape[:2], text)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".png":
        write_atomic(path, lambda temporary: write_png(temporary, image, text))
        return
    options: dict[str, Any] = {"exif": as_exif(text)} if text else {}
    write_atomic(path, lambda temporary: Image.fromarray(image).save(temporary, quality=95, **options))


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


def read_about(path: Path) -> dict[str, str]:
    """Return the metadata of an image, an animation, or the first frame in a folder; empty where there is none.

    Raises:
        DataError: The file is not an image or animation, or has too many pixels.
        OSError: It cannot be read.
    """
    path = next(iter(sorted(path.glob("frame-*.png"))), path) if path.is_dir() else path
    with path.open("rb") as file:
        is_film = file.read(8)[4:] == b"ftyp"
    if is_film:
        from .video import read_comment

        return _pairs(read_comment(path))
    try:
        with quiet_pillow(), Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF")) as file:
            file.load()
            if isinstance(file, PngImageFile):
                return {str(key): str(value) for key, value in file.text.items()}
            if file.format == "GIF":
                return _pairs(file.info.get("comment", b""))
            return _pairs(file.getexif().get(ExifTags.Base.ImageDescription, ""))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: is no image that can be read ({error})") from None


def _pairs(text: str | bytes) -> dict[str, str]:
    """Return the entries of a JSON object; nothing for the comments of other programs."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in document.items()} if isinstance(document, dict) else {}


def write_images(images: Iterable[tuple[Path, np.ndarray, Mapping[str, str]]]) -> Iterator[tuple[Path, str]]:
    """Write PNGs in parallel threads, each atomically; none is flushed to the disk, as they can be drawn again.

    Args:
        images: (path in a folder that exists, uint8 (H, W, 3) or (H, W), its metadata).

    Yields:
        (path, SHA-256 of the file in hex), in the order given.

    Raises:
        OSError: A file cannot be written; those before it are complete.
    """
    waiting: deque[Future[tuple[Path, str]]] = deque()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="images") as pool:
        try:
            images = iter(images)
            while True:
                waiting.extend(pool.submit(_write, *each) for each in islice(images, _AHEAD - len(waiting)))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()


def _write(path: Path, image: np.ndarray, text: Mapping[str, str]) -> tuple[Path, str]:
    png = io.BytesIO()
    write_png(png, image, text)
    content = png.getvalue()
    write_atomic(path, content, durable=False)
    return path, hashlib.sha256(content).hexdigest()
