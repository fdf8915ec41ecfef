"""What every source of images offers, whatever it is made of; and which file names are images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from PIL import Image

from ..errors import DataError
from ..messages import printable

ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff")
# Images of other kinds, and of cameras: not read, but counted, so that nobody misses them unawares.
OTHER_ENDINGS = (
    *(
        ".gif",
        ".heic",
        ".heif",
        ".avif",
        ".jp2",
        ".j2k",
        ".jpx",
        ".jxl",
        ".jxr",
        ".tga",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    ),
    *(".pcx", ".ico", ".svg", ".eps", ".psd", ".xcf", ".exr", ".hdr", ".dds", ".apng", ".mpo"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"),
)
MAX_BYTES = 64 * 2**20
MAX_NAMES = 4_000_000  # images or members of one source, which are kept in memory
MAX_SHOWN = 200  # characters of a name in a message
MAX_RATIO = 200  # an image's file hardly gets smaller in an archive; text of ones and zeros gets 50 times smaller

# What a source hands over for one name: an encoded file, a finished image, or why there is none.
Delivered = bytes | Image.Image | DataError


class ImageSource(Protocol):
    """An opened source of images.

    A source whose `read` may be called in several threads at once, and in processes that were forked after it was
    opened, has an attribute `chunk`, the number of names that one call takes best. It opens its files inside `read`:
    forked processes share the place in a file that was open before. Without `chunk`, `read` is called once for all
    names.

    Attributes:
        names: One name per image: sorted, unique, stable; paths with '/' relative to the source.
        crop: What crop="auto" means here: "auto" is the largest centre square.
    """

    @property
    def names(self) -> Sequence[str]:
        """One name per image: sorted, unique, stable; paths with '/' relative to the source."""

    @property
    def crop(self) -> str:
        """What crop="auto" means here: "auto" is the largest centre square."""

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """What is known of the images: one column per attribute, aligned with the names; may be empty."""

    def fingerprint(self, names: Sequence[str]) -> str:
        """A hex digest that changes when the content of these images may have changed; cheap, without decoding."""

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:
        """Yield (name, content) for each name once, in the order that this source delivers fastest.

        A drawn source draws at `resolution`; files come as they are.
        """


def is_image_name(name: str) -> bool:
    """Whether a '/'-separated path is an image by its ending, and neither hidden nor a Mac's shadow of a file."""
    return _ending(name) in ENDINGS and not any(map(is_hidden, name.split("/")))


def passed_over(pictures: ImageSource) -> Mapping[str, int]:
    """How many images of which other endings a source holds that it does not read; empty if it keeps no count."""
    counted: Mapping[str, int] = getattr(pictures, "passed_over", {})
    return counted


def other_ending(name: str) -> str | None:
    """The ending of an image that is passed over for it, or None: it is read, hidden, or no image."""
    ending = _ending(name)
    return ending if ending in OTHER_ENDINGS and not any(map(is_hidden, name.split("/"))) else None


def _ending(name: str) -> str:
    """The ending of a '/'-separated path, in small letters and with its point; asked of every file, so without Path."""
    stem, point, ending = name.rpartition("/")[2].rpartition(".")
    return f".{ending.lower()}" if stem and point else ""


def is_hidden(part: str) -> bool:
    """Whether one part of a path marks a hidden file, or the folder of shadows that Macs add to archives."""
    return part.startswith(".") or part == "__MACOSX"


def too_large(size_bytes: int) -> DataError | None:
    """The refusal of a file above the size limit, or None."""
    if size_bytes <= MAX_BYTES:
        return None
    return DataError(f"the file is too large ({-(-size_bytes // 2**20)} MiB; the limit is {MAX_BYTES // 2**20} MiB)")


def no_images(where: str, passed_over: Mapping[str, int] | None = None) -> DataError:
    """The refusal of a source without images; those of other endings are counted."""
    others = "; passed over " + in_words(passed_over) if passed_over else ""
    return DataError(f"{where}: no images found (looked for {', '.join(ENDINGS)}{others})")


def in_words(passed_over: Mapping[str, int]) -> str:
    """Counts of endings as `12 .heic, 3 .gif`, the most frequent first."""
    ordered = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {ending}" for ending, count in ordered)


def encoded(name: str) -> bytes:
    """A name as bytes for hashing; works for every name that a file system or archive can hold."""
    return name.encode("utf-8", "backslashreplace")


def as_text(name: str) -> str:
    """A name that every encoding and format can hold; only bytes of it that are no text are changed."""
    return encoded(name).decode()


def shown(name: str) -> str:
    """A name as it can be printed: control characters and undecodable bytes are escaped, and what is long is cut."""
    name = name if len(name) <= MAX_SHOWN else f"{name[: MAX_SHOWN // 2]}...{name[-MAX_SHOWN // 2 :]}"
    return printable(name)
