"""A folder of images, searched to any depth."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .annotations import AnnotationFile, Annotations, in_folder, next_to
from .source import Delivered, encoded, is_hidden, is_image_name, no_images, read_file, unsupported_suffix


class FolderSource:
    """The image files in a folder and its subfolders, under their paths relative to the folder.

    Linked folders are followed, but no folder is entered twice, so that loops end.
    """

    chunk = 32

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None) -> None:
        """List the images; takes the arguments of `open_path`."""
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
            yield name, read_file(f"{self.path}/{name}")

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
                elif suffix := unsupported_suffix(entry.name):
                    self.passed_over[suffix] += 1
        for _, name in sorted(inner):  # real folders before links to them
            self._search(f"{folder}/{name}", f"{prefix}{name}/", entered)


def _annotation_files(folder: Path) -> list[AnnotationFile]:
    """Return those in the folder, then those next to it; where it lies in a folder of the same name, next to both."""
    files = in_folder(folder) + next_to(folder)
    folder = folder.resolve()
    if folder.name == folder.parent.name:  # as the Kaggle copy of CelebA unpacks
        files += in_folder(folder.parent.parent, surplus=f"{folder.name}/{folder.name}/")
    return files
