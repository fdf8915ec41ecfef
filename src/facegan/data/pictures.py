"""What every source of pictures offers, whatever it is made of; and which file names are pictures."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

from PIL import Image

from ..errors import DataError

ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff")
MAX_BYTES = 64 * 2**20

# What a source hands over for one name: an encoded file, a finished picture, or why there is none.
Delivered = bytes | Image.Image | DataError


class Pictures(Protocol):
    """An opened source of pictures.

    A source whose `read` may be called in several threads at once has an attribute `chunk`, the number of names that
    one call takes best; without it, `read` is called once for all names.

    Attributes:
        names: One name per picture: sorted, unique, stable; paths with '/' relative to the source.
        crop: What crop="auto" means here: "auto" is the largest centre square.
    """

    @property
    def names(self) -> Sequence[str]:
        """One name per picture: sorted, unique, stable; paths with '/' relative to the source."""

    @property
    def crop(self) -> str:
        """What crop="auto" means here: "auto" is the largest centre square."""

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """What is known of the pictures: one column per attribute, aligned with the names; may be empty."""

    def fingerprint(self, names: Sequence[str]) -> str:
        """A hex digest that changes when the content of these pictures may have changed; cheap, without decoding."""

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:
        """Yield (name, content) for each name once, in the order that this source delivers fastest.

        A drawn source draws at `resolution`; files come as they are.
        """


def is_picture(name: str) -> bool:
    """Whether a '/'-separated path is a picture by its ending, and neither hidden nor a Mac's shadow of a file."""
    path = PurePosixPath(name)
    return path.suffix.lower() in ENDINGS and not any(is_hidden(part) for part in path.parts)


def is_hidden(part: str) -> bool:
    """Whether one part of a path marks a hidden file, or the folder of shadows that Macs add to archives."""
    return part.startswith(".") or part == "__MACOSX"


def too_large(size_bytes: int) -> DataError | None:
    """The refusal of a file above the size limit, or None."""
    if size_bytes <= MAX_BYTES:
        return None
    return DataError(f"the file is too large ({-(-size_bytes // 2**20)} MiB; the limit is {MAX_BYTES // 2**20} MiB)")


def no_pictures(where: str) -> DataError:
    """The refusal of a source without pictures."""
    return DataError(f"{where}: no pictures found (looked for {', '.join(ENDINGS)})")


def encoded(name: str) -> bytes:
    """A name as bytes for hashing; works for every name that a file system or archive can hold."""
    return name.encode("utf-8", "backslashreplace")


def shown(name: str) -> str:
    """A name as it can be printed: control characters and undecodable bytes are escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)
