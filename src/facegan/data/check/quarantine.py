"""Moving images out of a folder so that it can be undone: nothing is deleted, and nothing is overwritten."""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..folder import FolderSource
from ..source import ImageSource
from .findings import Moved, Named, Report

JOURNAL = "quarantine.jsonl"


class Quarantine:
    """A folder to which images of a source are moved, under their paths in the source, with a journal of each move.

    A line of the journal is on the disk before its file moves, so that whatever happens, every file that has left its
    place is named there with where it went.
    """

    def __init__(self, pictures: ImageSource, source: str, folder: Path) -> None:
        """Check that images can be moved there; nothing is made yet.

        Args:
            pictures: The source, opened.
            source: How messages name it.
            folder: Where images are to go.

        Raises:
            DataError: The source is no folder of images, or `folder` is a file, or lies in the source.
        """
        if not isinstance(pictures, FolderSource):
            raise DataError(f"--quarantine {folder}: {source} is not a folder of images; nothing can be moved out")
        self._root = pictures.path.resolve()
        self._folder = folder.absolute()
        if folder.exists() and not folder.is_dir():
            raise DataError(f"--quarantine {folder}: is a file; name a folder, which need not exist yet")
        if self._folder.resolve().is_relative_to(self._root):
            raise DataError(
                f"--quarantine {folder}: lies inside {source}, where it would be read again; name a folder outside"
            )

    def move(self, report: Report, *, progress: Callable[[int, int], None] | None = None) -> Report:
        """Move out the unreadable files and all but the first of each group of equal files.

        Files that are reached through a link stay: what a link leads to may belong to others.

        Returns:
            The report with what was moved.

        Raises:
            OSError: A file cannot be moved; those before it have been, and stand in the journal.
        """
        chosen = [named for named in superfluous(report) if self._is_own(named.name) and not self._is_led_to(named)]
        moved = []
        for done, named in enumerate(chosen, start=1):
            moved.append(self._move(named))
            if progress is not None:
                progress(done, len(chosen))
        return report.model_copy(update={"quarantined": tuple(moved)})

    def _is_own(self, name: str) -> bool:
        """Whether a file is there, and lies in the source itself."""
        path = self._root / name
        return path.is_file() and path.resolve() == path

    def _is_led_to(self, named: "Superfluous") -> bool:
        """Whether the file that is kept in the place of this one is a link to it."""
        return named.kept is not None and (self._root / named.kept).resolve() == self._root / named.name

    def _move(self, named: Named) -> Moved:
        target = next(path for path in _free_names(self._folder / named.name) if not os.path.lexists(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        moved = Moved(name=named.name, reason=named.reason, to=str(target))
        line = moved.model_dump() | {"from": str(self._root / named.name)}
        self._note(line)
        try:
            _move_file(self._root / named.name, target)
        except OSError as error:
            self._note({"name": named.name, "failed": error.strerror or str(error)})
            raise
        return moved

    def _note(self, line: dict[str, Any]) -> None:
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")
            journal.flush()
            os.fsync(journal.fileno())


class Superfluous(Named):
    """A file that can leave a set, and the one that stays in its place, or None."""

    kept: str | None = None


def superfluous(report: Report) -> list[Superfluous]:
    """What can leave a set without loss: unreadable files, and copies of files that stay; with the reason, sorted."""
    copies = [
        Superfluous(name=name, reason=f"the same file as {group[0]}", kept=group[0])
        for group in report.duplicates
        for name in group[1:]
    ]
    unreadable = [Superfluous(name=named.name, reason=named.reason) for named in report.unreadable]
    return sorted([*unreadable, *copies], key=lambda named: named.name)


def _free_names(path: Path) -> Iterator[Path]:
    """A path, and then the same with a number before its ending."""
    yield path
    number = 2
    while True:
        yield path.with_stem(f"{path.stem}-{number}")
        number += 1


def _move_file(source: Path, target: Path) -> None:
    """Move a file; to another file system by a whole copy that is on the disk before the original goes."""
    try:
        source.rename(target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        shutil.copy2(source, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)
    source.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # other systems cannot open a folder to flush it
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
