"""Reading rules: which files of a source are images; the others are counted by suffix or reason.

Version 2 (`data.reading`) goes by content, whatever a file is called; version 1 went by the ending of its name.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from ..errors import DataError
from ..images.decode import HEIC, READING, sniff_file_type
from ..messages import counted
from .annotations import is_annotation
from .source import ImageSource, shown

_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff")  # taken for images unread
# TIFF files of cameras, whose first image is a thumbnail.
_RAW_SUFFIXES = (".raw", ".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".srw", ".pef", ".orf", ".rw2")
_ARCHIVES = ("a zip archive", "a gzip file", "a bzip2 file", "an xz file", "a rar archive", "a 7z archive")
_ARCHIVE_SUFFIXES = ("", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".rar", ".7z")
# Folders where systems keep thumbnails, snapshots and deleted files: macOS, Windows, Synology, QNAP, Samba, Linux.
# Those of other names begin with a dot.
_SYSTEM_FOLDER = re.compile(
    r"__MACOSX|@eaDir|#recycle|#snapshot|@Recycle|@Recently-Snapshot|@__thumb|\$RECYCLE\.BIN|RECYCLE[RD]|lost\+found|"
    r"System Volume Information|Network Trash Folder|Temporary Items|found\.\d{3}",
    re.IGNORECASE,
)
RUN_FILES = {"config.json", "environment.json", "metrics.jsonl"}  # of a run folder
IN_RUN, IN_CACHE = "in run folders", "in the cache of facegan"
BY_FACEGAN = "made by facegan (sheets, plots, previews)"
_MAX_REASONS = 10  # in a message


class Sorter:
    """Sorts the files of a source into images and others; `left_out` counts the others by suffix or reason."""

    def __init__(self, reading: int = READING, *, in_archive: bool = False) -> None:
        self._reading = reading
        self._way_in = "unpack the outer one, then give it" if in_archive else "give it as the source, or unpack it"
        self._around = {"": ""}  # the reason to leave out all of a folder, by its path; empty: it is read
        self.left_out: Counter[str] = Counter()

    def is_image(self, path: str, head: Callable[[], bytes]) -> bool:
        """Return whether a file at a '/'-separated path is an image, else count it, unless it holds annotations.

        `head` reads its first bytes; a file of which it cannot, with an OSError, is counted as well.
        """
        folder, _, name = path.rpartition("/")
        reason = self.reason_around(folder) or self._reason(path, name, head)
        if reason and not is_annotation(name):
            self.left_out[reason] += 1
        return not reason

    def enter(self, folder: str, names: Collection[str], *, is_cache: bool = False) -> None:
        """Leave out a folder below the source that, by the names in it, is a run, or that is the cache."""
        if folder and self._reading > 1 and not self.reason_around(folder):
            self._around[folder] = IN_CACHE if is_cache else IN_RUN if RUN_FILES.issubset(names) else ""

    def reason_around(self, folder: str) -> str:
        """Return why all of a folder is left out; empty if it is not."""
        if folder not in self._around:
            parent, _, name = folder.rpartition("/")
            self._around[folder] = self.reason_around(parent) or self._reason_of_folder(name)
        return self._around[folder]

    def _reason_of_folder(self, name: str) -> str:
        if name.startswith("."):
            return "hidden"
        is_system = name == "__MACOSX" if self._reading == 1 else _SYSTEM_FOLDER.fullmatch(name)
        return f"in {shown(name)}" if is_system else ""

    def _reason(self, path: str, name: str, head: Callable[[], bytes]) -> str:
        suffix = _suffix(name)
        if name.startswith("."):
            return "hidden"
        if suffix in _SUFFIXES:
            return ""
        other = suffix if re.fullmatch(r"\.\w{1,12}", suffix) else "of another kind"
        if self._reading == 1:
            return other
        try:
            kind = sniff_file_type(head())
        except OSError as error:
            return f"unreadable ({error.strerror or error})"
        if kind.endswith(" image") and suffix not in _RAW_SUFFIXES:
            return ""
        if kind == HEIC:
            return "HEIC or AVIF (convert them to JPEG or PNG)"
        if (kind in _ARCHIVES and suffix in _ARCHIVE_SUFFIXES) or kind == "a tar archive":
            return f"archive ({shown(path)}: {self._way_in})"
        return other


def is_image_name(name: str) -> bool:
    """Return whether a file is taken for an image by its name alone."""
    return _suffix(name) in _SUFFIXES and not name.startswith(".")


def _suffix(name: str) -> str:
    """Return a file name's suffix in lower case; several times faster than Path, and called for every file."""
    stem, point, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if stem and point else ""


def num_left_out(source: ImageSource) -> dict[str, int]:
    """Return how many files a source leaves out, by suffix or reason; empty if it keeps no count."""
    return dict(getattr(source, "passed_over", {}))


def describe_left_out(num_by_reason: Mapping[str, int]) -> str:
    """Return the line for files and folders that are left out: `skipped 12 .heic, 3 in @eaDir`."""
    return f"skipped {list_left_out(num_by_reason)}"


def no_images(where: str, left_out: Mapping[str, int]) -> DataError:
    """Return the error for a source without images."""
    others = f"; skipped {list_left_out(left_out)}" if left_out else ""
    return DataError(f"{where}: no images found (JPEG, PNG, WebP, BMP, TIFF, GIF, PNM{others})")


def list_left_out(num_by_reason: Mapping[str, int]) -> str:
    """Return counts as `12 .heic, 3 in @eaDir`: first those with a remark, then the most frequent."""
    ordered = sorted(num_by_reason.items(), key=lambda item: ("(" not in item[0], -item[1], item[0]))
    lines = [f"{num:,} {reason}" for reason, num in ordered[:_MAX_REASONS]]
    rest = sum(num for _, num in ordered[_MAX_REASONS:])
    return ", ".join([*lines, *([counted(rest, "other file")] if rest else [])])
