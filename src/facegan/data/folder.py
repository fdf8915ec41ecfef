"""A folder of images, searched to any depth."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .source import Delivered, encoded, is_hidden, is_image_name, no_images, other_ending, too_large
from .sources.annotations import Annotations, beside, on_disk
from .sources.tables import AnnotationFile


class FolderSource:
    """The image files in a folder and the folders inside it.

    Linked folders are followed, but no folder is entered twice, so that loops end.

    Attributes:
        names: Paths relative to the folder, sorted.
        crop: What crop="auto" means here.
        passed_over: How many images of which other endings there are.
        chunk: Names that one thread reads at a time.
        path: The folder.
    """

    chunk = 32

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None) -> None:
        """List the images.

        Args:
            path: The folder.
            crop: What crop="auto" means here.
            where: How messages name the folder; None: by its path.

        Raises:
            DataError: The folder cannot be read, or holds no image.
        """
        self.crop = crop
        self.passed_over: Counter[str] = Counter()
        self.path = path
        self._stats: dict[str, tuple[int, int]] = {}  # size and modification time
        where = where or f"{path}/"
        try:
            self._search(str(path), "", set())
        except OSError as error:
            raise DataError(f"{where}: cannot be read ({error.strerror or error}: {error.filename})") from None
        if not self._stats:
            raise no_images(where, self.passed_over)
        self.names: Sequence[str] = sorted(self._stats)
        self._annotations = Annotations(_annotation_files(path), self.names)

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """What annotation files in the folder, or beside it, say of the images.

        Raises:
            DataError: Such a file is malformed; its line is named.
        """
        return self._annotations.columns(names)

    def fingerprint(self, names: Sequence[str]) -> str:
        """Of the folder's place and of each file's name, size and modification time, annotations included."""
        digest = hashlib.sha256(os.fsencode(self.path.resolve()) + self._annotations.stamp)
        for name in names:
            digest.update(b"\n%b %d %d" % (encoded(name), *self._stats[name]))
        return digest.hexdigest()

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each file's bytes in the order of the names."""
        for name in names:
            yield name, self._content(name)

    def _content(self, name: str) -> Delivered:
        try:
            file = os.open(f"{self.path}/{name}", os.O_RDONLY | getattr(os, "O_BINARY", 0))  # half the time of Path's
            try:
                size_bytes = os.fstat(file).st_size
                return too_large(size_bytes) or _read(file, size_bytes)
            finally:
                os.close(file)
        except OSError as error:
            return DataError(f"the file cannot be read ({error.strerror or error})")

    def _search(self, folder: str, prefix: str, entered: set[tuple[int, int]]) -> None:
        status = os.stat(folder)  # noqa: PTH116  # a Path for each of thousands of folders takes longer than the search
        if (status.st_dev, status.st_ino) in entered:
            return
        entered.add((status.st_dev, status.st_ino))
        inner = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    inner.append((entry.is_symlink(), entry.name))
                elif is_image_name(entry.name) and entry.is_file():
                    status = entry.stat()
                    self._stats[prefix + entry.name] = (status.st_size, status.st_mtime_ns)
                elif ending := other_ending(entry.name):
                    self.passed_over[ending] += 1
        for _, name in sorted(inner):  # true folders before links to them
            self._search(f"{folder}/{name}", f"{prefix}{name}/", entered)


def _annotation_files(folder: Path) -> list[AnnotationFile]:
    """Those in a folder of images, then those beside it; beside both when a folder lies in one of the same name."""
    files = on_disk(folder) + beside(folder)
    folder = folder.resolve()
    if folder.name == folder.parent.name:  # as the Kaggle copy of CelebA unpacks
        files += on_disk(folder.parent.parent, surplus=f"{folder.name}/{folder.name}/")
    return files


def _read(file: int, size_bytes: int) -> bytes:
    """All of a file, in one call unless the system breaks it up."""
    content = os.read(file, size_bytes)
    while len(content) < size_bytes and (more := os.read(file, size_bytes - len(content))):
        content += more
    return content
