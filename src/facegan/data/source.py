"""The protocol of a source of images, and its names in digests and messages."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from PIL import Image

from ..errors import DataError
from ..images.decode import too_large
from ..images.files import is_sheet
from ..messages import printable

MAX_NAMES = 4_000_000  # images or members of one source, which are kept in memory
MAX_RATIO = 200  # image files hardly compress any further; text of ones and zeros compresses 50 times
HEAD_BYTES = 512  # of a file, which show what it is
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
    - `passed_over`: the number of files that are no images or left out, by suffix or reason.
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


def read_head(path: str) -> bytes:
    """Return a file's first bytes, which show what it is; raises OSError."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return file.read(HEAD_BYTES)


class SheetError(DataError):
    """An image that facegan made of several."""


def screened(content: Delivered, reading: int) -> Delivered:
    """Return the content of a file, but for a sheet, plot or preview that facegan made the reason to leave it out."""
    if reading > 1 and isinstance(content, bytes) and is_sheet(content):
        return SheetError("a sheet, plot or preview that facegan made")
    return content


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
