"""Reading rules: which files of a source are images, and what is left out, counted by reason.

Version 2 (`data.reading`) goes by content, whatever a file is called; version 1 went by the ending of its name.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from ..errors import DataError
from ..images.decode import READING, sniff_file_type
from ..messages import counted
from .annotations import is_annotation
from .source import ImageSource, shown

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff")  # taken for images unread
# TIFF files of cameras, whose first image is a thumbnail.
_RAW_SUFFIXES = (".raw", ".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".srw", ".pef", ".orf", ".rw2")
# Images in formats that version 1 does not read.
_OTHER_SUFFIXES = (
    *(".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jpx", ".jxl", ".jxr", ".tga", ".ppm", ".pgm", ".pbm"),
    *(".pnm", ".pcx", ".ico", ".svg", ".eps", ".psd", ".xcf", ".exr", ".hdr", ".dds", ".apng", ".mpo"),
    *_RAW_SUFFIXES,
)
_MAX_REASONS = 10  # in a message
_ARCHIVES = ("a zip archive", "a gzip file", "a bzip2 file", "an xz file", "a rar archive", "a 7z archive")
_ARCHIVE_SUFFIXES = ("", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".rar", ".7z")
# Folders where systems keep thumbnails, snapshots and deleted files: macOS, Windows, Synology, QNAP, Samba, Linux.
_SYSTEM_FOLDER = re.compile(
    r"__MACOSX|\.Trashe?s?(-.*)?|@eaDir|#recycle|#snapshot|@Recycle|@Recently-Snapshot|\.?@__thumb|\$RECYCLE\.BIN|"
    r"RECYCLE[RD]|System Volume Information|Network Trash Folder|Temporary Items|\.thumbnails|lost\+found|"
    r"found\.\d{3}",
    re.IGNORECASE,
)
_RUN, _PACKED = {"config.json", "environment.json", "snapshots"}, {"images.npy", "index.json", "skipped.json"}
IN_RUN, IN_PACKED, IN_CACHE = "in run folders", "in packed folders", "in the cache of facegan"
_IMAGE, _SILENT = "", "-"  # in place of a reason: none, or one that is not counted


class Sorter:
    """Sorts the files of a source into images and others; `left_out` counts the others by suffix or reason."""

    def __init__(self, reading: int = READING) -> None:
        self._reading = reading
        self._around: dict[str, str] = {"": _IMAGE}  # the reason to leave out all of a folder, by its path
        self.left_out: Counter[str] = Counter()

    def is_image(self, path: str, head: Callable[[], bytes]) -> bool:
        """Return whether a file at a '/'-separated path is an image, else count it; `head` reads its first bytes.

        A file that `head` cannot read, with an OSError or DataError, is counted as well.
        """
        folder, _, name = path.rpartition("/")
        reason = self.reason_around(folder) or self._reason(path, name, head)
        if reason:
            self.count(reason)
        return not reason

    def count(self, reason: str, num: int = 1) -> None:
        """Count files that are left out."""
        if reason != _SILENT:
            self.left_out[reason] += num

    def enter(self, folder: str, names: Collection[str], *, is_cache: bool = False) -> None:
        """Take notice of a folder's contents, which may show that facegan made it; the source itself is always read."""
        if folder and self._reading > 1 and not self.reason_around(folder):
            self._around[folder] = IN_CACHE if is_cache else reason_inside(names)

    def reason_around(self, folder: str) -> str:
        """Return why all of a folder is left out; empty if it is not."""
        if folder not in self._around:
            parent, _, name = folder.rpartition("/")
            self._around[folder] = self.reason_around(parent) or self._reason_of_folder(name)
        return self._around[folder]

    def _reason_of_folder(self, name: str) -> str:
        if self._reading == 1:
            return _SILENT if _is_hidden(name) else _IMAGE
        if _SYSTEM_FOLDER.fullmatch(name):
            return f"in {shown(name)}"
        return "hidden" if name.startswith(".") else _IMAGE

    def _reason(self, path: str, name: str, head: Callable[[], bytes]) -> str:
        suffix = _suffix(name)
        if self._reading == 1:
            is_read, is_other = (not _is_hidden(name) and suffix in known for known in (SUFFIXES, _OTHER_SUFFIXES))
            return _IMAGE if is_read else suffix if is_other else _SILENT
        if name.startswith("."):
            return "hidden"
        if suffix in SUFFIXES:
            return _IMAGE
        if is_annotation(name):
            return _SILENT
        try:
            kind = sniff_file_type(head())
        except (OSError, DataError) as error:
            return f"unreadable ({getattr(error, 'strerror', None) or error})"
        if kind.endswith(" image") and suffix not in _RAW_SUFFIXES:
            return _IMAGE
        if "HEIC" in kind:
            return "HEIC or AVIF (convert them to JPEG or PNG)"
        if (kind in _ARCHIVES and suffix in _ARCHIVE_SUFFIXES) or kind == "a tar archive":
            return f"archive ({shown(path)}: give it as the source, or unpack it)"
        return suffix if re.fullmatch(r"\.\w{1,12}", suffix) else "of another kind"


def reason_inside(names: Collection[str]) -> str:
    """Return why a folder with these names in it is left out: facegan made it; empty if it did not."""
    if _RUN.issubset(names):
        return IN_RUN
    return IN_PACKED if _PACKED.issubset(names) else _IMAGE


def is_image_name(name: str) -> bool:
    """Return whether a '/'-separated path names an image by its suffix, and is not hidden."""
    return _suffix(name) in SUFFIXES and not any(map(_is_hidden, name.split("/")))


def _suffix(name: str) -> str:
    """Return a '/'-separated path's suffix in lower case; several times faster than Path, and called for every file."""
    stem, point, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if stem and point else ""


def _is_hidden(part: str) -> bool:
    """Return whether version 1 leaves out one part of a path."""
    return part.startswith(".") or part == "__MACOSX"


def num_left_out(source: ImageSource) -> dict[str, int]:
    """Return how many files a source leaves out, by suffix or reason; empty if it keeps no count."""
    return dict(getattr(source, "passed_over", {}))


def no_images(where: str, left_out: Mapping[str, int]) -> DataError:
    """Return the error for a source without images."""
    others = f"; skipped {list_left_out(left_out)}" if left_out else ""
    return DataError(f"{where}: no images found (JPEG, PNG, WebP, BMP, TIFF, GIF, PNM{others})")


def list_left_out(num_by_reason: Mapping[str, int]) -> str:
    """Return counts as `12 .heic, 3 in @eaDir`, the most frequent first."""
    ordered = sorted(num_by_reason.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{num:,} {reason}" for reason, num in ordered[:_MAX_REASONS]]
    rest = sum(num for _, num in ordered[_MAX_REASONS:])
    return ", ".join([*lines, *([counted(rest, "other file")] if rest else [])])
