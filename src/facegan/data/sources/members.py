"""What zip and tar archives have in common: read in place, never unpacked.

An archive is taken for hostile: every member is checked before any is used.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..source import MAX_NAMES, encoded, no_images, other_ending, shown
from .annotations import Annotations, beside, is_annotation
from .tables import AnnotationFile


class ArchiveSource:
    """What zip and tar archives have in common as sources.

    Attributes:
        names: The images' paths in the archive, sorted.
        crop: What crop="auto" means here.
        passed_over: How many images of which other endings there are.
    """

    names: Sequence[str]

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None) -> None:
        """List the members and check every one of them.

        Args:
            path: The archive.
            crop: What crop="auto" means here.
            where: How messages name the archive; None: by its path.

        Raises:
            DataError: It is damaged, cut short, encrypted or unsafe, or holds no image.
        """
        self.crop = crop
        self._path = path
        self._where = where or str(path)
        self.passed_over: Counter[str] = Counter()
        self._inner_files: dict[str, AnnotationFile] = {}  # by file name
        try:
            self._place = path.resolve(), path.stat().st_size, path.stat().st_mtime_ns
            self.names = sorted(self._list())
        except DataError:
            raise
        except Exception as error:  # on damaged bytes the readers raise a dozen kinds
            raise self._damaged(error) from None
        if not self.names:
            raise no_images(self._where, self.passed_over)
        files = [*self._inner_files.values(), *beside(path)]
        self._annotations = Annotations(files, self.names)

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """What annotation files in the archive, or beside it, say of the images.

        Raises:
            DataError: Such a file is malformed; its line is named.
        """
        return self._annotations.columns(names)

    def fingerprint(self, names: Sequence[str]) -> str:
        """Of the archive's place, size and modification time, of the files beside it, and of the names."""
        path, size_bytes, modified = self._place
        digest = hashlib.sha256(os.fsencode(path) + b" %d %d" % (size_bytes, modified) + self._annotations.stamp)
        for name in names:
            digest.update(b"\n" + encoded(name))
        return digest.hexdigest()

    def _list(self) -> Sequence[str]:
        """The names of the images, once every member has been checked."""
        raise NotImplementedError

    def _inside(self, member: str) -> str:
        """A member's path with '/' and without '.', or the refusal of an archive that reaches out of itself."""
        path = member.replace("\\", "/")
        parts = path.split("/")
        if path.startswith("/"):
            raise self._unsafe(member, "an absolute path")
        if re.match(r"[A-Za-z]:", path):
            raise self._unsafe(member, "a path with a drive letter")
        if ".." in parts:
            raise self._unsafe(member, "a path that leaves the archive")
        return "/".join(part for part in parts if part not in ("", "."))

    def _keep(self, name: str, read: Callable[[], bytes]) -> None:
        """Remember a member that is no image, if it says something of the images or is counted."""
        folder, slash, base = name.rpartition("/")
        if is_annotation(base):
            file = AnnotationFile(base, f"{self._where}/{shown(name)}", read, prefix=folder + slash)
            nearest = self._inner_files.setdefault(base, file)
            if folder.count("/") < nearest.prefix.count("/"):
                self._inner_files[base] = file
        elif ending := other_ending(name):
            self.passed_over[ending] += 1

    def _check_count(self, num_members: int) -> None:
        if num_members > MAX_NAMES:
            raise DataError(
                f"{self._where}: unsafe archive, nothing of it is used (it has more than {MAX_NAMES:,} members); "
                "unpack it yourself and give the folder"
            )

    def _unsafe(self, member: str, what: str) -> DataError:
        return DataError(
            f"{self._where}: unsafe archive, nothing of it is used ('{shown(member)}' is {what}); "
            "get it from its publisher, or unpack it yourself and give the folder"
        )

    def _damaged(self, error: Exception) -> DataError:
        reason = shown(" ".join(str(error).split()))[:100] or type(error).__name__
        return DataError(f"{self._where}: the archive is damaged or cut short ({reason}); download it again")
