"""A folder of images, searched to any depth."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..images.decode import READING
from ..storage.cache import cache_root
from .annotations import AnnotationFile, Annotations, in_folder, next_to
from .rules import Sorter, no_images
from .source import Delivered, encoded, read_file, read_head, screened, shown


class FolderSource:
    """The image files in a folder and its subfolders, under their paths relative to the folder.

    Linked folders are followed, but no folder is entered twice, so that loops end.
    """

    chunk = 32

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None, reading: int = READING) -> None:
        """List the images; takes the arguments of `open_path`."""
        self.crop = crop
        self.path = path
        self._reading = reading
        self._stats: dict[str, tuple[int, int]] = {}  # size and modification time
        self._sorter = Sorter(reading)
        self.passed_over = self._sorter.left_out
        where = where or f"{path}/"
        cache = None
        with suppress(OSError):
            cache = _identity(os.stat(cache_root()))  # noqa: PTH116
        try:
            self._search(str(path), "", set(), cache)
        except OSError as error:
            raise DataError(f"{where}: cannot be read ({error.strerror or error}: {error.filename})") from None
        if not self._stats:
            raise no_images(where, self.passed_over)
        self.names: Sequence[str] = sorted(self._stats)
        self._annotations = Annotations(_annotation_files(path), self.names, reading)
        self.notes = self._annotations.notes

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the attributes from annotation files in the folder, or next to it."""
        return self._annotations.columns(names)

    def fingerprint(self, names: Sequence[str]) -> str:
        """Hash the folder's path and each file's name, size and modification time, annotation files included."""
        digest = hashlib.sha256(os.fsencode(self.path.resolve()) + self._annotations.stamp)
        for name in names:
            digest.update(b"\n%b %d %d" % (encoded(name), *self._stats[name]))
        return digest.hexdigest()

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each file's bytes in the order of the names."""
        for name in names:
            yield name, screened(read_file(f"{self.path}/{name}"), self._reading)

    def _search(self, folder: str, prefix: str, entered: set[tuple[int, int]], cache: tuple[int, int] | None) -> None:
        """Sort the files of a folder and those below; raises OSError only if the source itself cannot be listed."""
        try:
            here = _identity(os.stat(folder))  # noqa: PTH116  # a Path for each of thousands of folders takes longer
            if here in entered:
                return
            entered.add(here)
            with os.scandir(folder) as listing:
                entries = list(listing)
        except OSError as error:
            if not prefix:
                raise
            self.passed_over[f"unreadable folder ({shown(prefix[:-1])}: {error.strerror or error})"] += 1
            return
        self._sorter.enter(prefix[:-1], {entry.name for entry in entries}, is_cache=here == cache)
        inner = []
        for entry in entries:
            try:
                if entry.is_dir():
                    inner.append((entry.is_symlink(), entry.name))
                else:
                    self._sort(entry, prefix)
            except OSError as error:
                self.passed_over[f"unreadable ({error.strerror or error})"] += 1
        for _, name in sorted(inner):  # real folders before links to them
            self._search(f"{folder}/{name}", f"{prefix}{name}/", entered, cache)

    def _sort(self, entry: os.DirEntry[str], prefix: str) -> None:
        name = prefix + entry.name
        if not entry.is_file():
            self.passed_over["linked to nothing" if entry.is_symlink() else "not a regular file"] += 1
        elif self._sorter.is_image(name, partial(read_head, entry.path)):
            status = entry.stat()
            self._stats[name] = (status.st_size, status.st_mtime_ns)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _annotation_files(folder: Path) -> list[AnnotationFile]:
    """Return those in the folder, then those next to it; where it lies in a folder of the same name, next to both."""
    files = in_folder(folder) + next_to(folder)
    folder = folder.resolve()
    if folder.name == folder.parent.name:  # as the Kaggle copy of CelebA unpacks
        files += in_folder(folder.parent.parent, surplus=f"{folder.name}/{folder.name}/")
    return files
