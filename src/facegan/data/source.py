"""The protocol of a source of images, and which file names count as images."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from PIL import Image

from ..errors import DataError
from ..images.decode import too_large
from ..messages import printable

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff")
# Images in formats that are not read. They are counted, so that nobody misses them without noticing.
OTHER_SUFFIXES = (
    *(".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jpx", ".jxl", ".jxr", ".tga", ".ppm", ".pgm", ".pbm"),
    *(".pnm", ".pcx", ".ico", ".svg", ".eps", ".psd", ".xcf", ".exr", ".hdr", ".dds", ".apng", ".mpo"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"),
)
MAX_NAMES = 4_000_000  # images or members of one source, which are kept in memory
MAX_RATIO = 200  # image files hardly compress any further; text of ones and zeros compresses 50 times
_MAX_SHOWN = 200  # characters of a name in a message

# The delivery for one name: an encoded file, a decoded image, or the reason why there is none.
Delivered = bytes | Image.Image | DataError


class ImageSource(Protocol):
    """An open source of images. Opening and reading raise DataError for missing, malformed, damaged or unsafe files.

    Optional attributes:

    - `chunk`: the number of names that one call of `read` handles best. `read` is then called from several threads at
      once, and in processes forked after the source was opened; so it must open its files itself, because forked
      processes share the position in a file that was open before. Without `chunk`, `read` is called once for all names.
    - `notes`: lines about annotations, once `attributes` was called: how many images each of their files knows.
    - `passed_over`: the number of images by suffix that the source holds but cannot read.
    """

    @property
    def names(self) -> Sequence[str]:
        """One name per image: sorted, unique, stable; paths with '/' relative to the source."""

    @property
    def crop(self) -> str:
        """What crop="auto" means here: "auto" is the largest centre square."""

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the images' attributes: one column each, aligned with the names; may be empty."""

    def fingerprint(self, names: Sequence[str]) -> str:
        """Return a hex digest that changes when the content of these images may have changed; cheap, no decoding."""

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:
        """Yield (name, content) for each name once, in the order that this source delivers fastest.

        A drawn source draws at `resolution`; files are delivered as they are.
        """


def read_file(path: str) -> Delivered:
    """Return a file's bytes, or why it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # faster than Path's
            return too_large(os.fstat(file.fileno()).st_size) or file.readall()
    except OSError as error:
        return DataError(f"the file cannot be read ({error.strerror or error})")


def is_image_name(name: str) -> bool:
    """Return whether a '/'-separated path names an image by its suffix, and is not hidden."""
    return _suffix(name) in SUFFIXES and not any(map(is_hidden, name.split("/")))


def unsupported_suffix(name: str) -> str | None:
    """Return the suffix of an image whose format is not read, or None: it is read, hidden, or no image."""
    suffix = _suffix(name)
    return suffix if suffix in OTHER_SUFFIXES and not any(map(is_hidden, name.split("/"))) else None


def num_unsupported(source: ImageSource) -> dict[str, int]:
    """Return how many images of each unsupported suffix a source holds; empty if it keeps no count."""
    return dict(getattr(source, "passed_over", {}))


def _suffix(name: str) -> str:
    """Return a '/'-separated path's suffix in lower case; several times faster than Path, and called for every file."""
    stem, point, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if stem and point else ""


def is_hidden(part: str) -> bool:
    """Return whether one part of a path marks a hidden file, or the folder of metadata that macOS adds to archives."""
    return part.startswith(".") or part == "__MACOSX"


def no_images(where: str, unsupported: Mapping[str, int]) -> DataError:
    """Return the error for a source without images."""
    others = f"; skipped {suffix_counts(unsupported)}" if unsupported else ""
    return DataError(f"{where}: no images found (looked for {', '.join(SUFFIXES)}{others})")


def suffix_counts(num_by_suffix: Mapping[str, int]) -> str:
    """Return counts as `12 .heic, 3 .gif`, the most frequent first."""
    ordered = sorted(num_by_suffix.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{num} {suffix}" for suffix, num in ordered)


def encoded(name: str) -> bytes:
    """Encode a name for hashing; works for every name that a file system or archive can hold."""
    return name.encode("utf-8", "backslashreplace")


def fingerprint_of(source: bytes, names: Sequence[str]) -> str:
    """Hash what identifies the state of a source, and the names."""
    digest = hashlib.sha256(source)
    for name in names:
        digest.update(b"\n" + encoded(name))
    return digest.hexdigest()


def as_text(name: str) -> str:
    """Return a name that every encoding and format can hold: bytes that are not valid text are escaped."""
    return encoded(name).decode()


def shown(name: str) -> str:
    """Return a name fit for a message: control characters and undecodable bytes escaped, long names shortened."""
    name = name if len(name) <= _MAX_SHOWN else f"{name[: _MAX_SHOWN // 2]}...{name[-_MAX_SHOWN // 2 :]}"
    return printable(name)
