"""Move images out of a folder in a way that can be undone: nothing is deleted, and nothing is overwritten."""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...reporter import SILENT, Reporter
from ...storage.atomic import append_lines, put_in_place
from ..folder import FolderSource
from ..source import ImageSource
from .findings import Moved, Named, Report

JOURNAL = "quarantine.jsonl"


class Removable(Named):
    """A file that can leave a set of images, and the name of the copy that stays, or None."""

    kept: str | None = None


class Quarantine:
    """A folder to which images of a source are moved, under their paths in the source, with a journal of each move.

    A line of the journal is on the disk before its file moves. So whatever happens, every file that has left its
    place is listed there with its destination.
    """

    def __init__(self, source: ImageSource, where: str, folder: Path) -> None:
        """Check that images can be moved there; nothing is created yet.

        Args:
            source: The source, opened.
            where: The source's name in messages.
            folder: The destination.

        Raises:
            DataError: The source is no folder of images, or `folder` is a file, or lies in the source.
        """
        if not isinstance(source, FolderSource):
            raise DataError(f"--quarantine {folder}: {where} is not a folder of images; nothing can be moved out")
        self._root = source.path.resolve()
        self._folder = folder.absolute()
        if folder.exists() and not folder.is_dir():
            raise DataError(f"--quarantine {folder}: is a file; name a folder, which need not exist yet")
        if self._folder.resolve().is_relative_to(self._root):
            raise DataError(
                f"--quarantine {folder}: lies inside {where}, where it would be read again; name a folder outside"
            )

    def move(self, report: Report, *, reporter: Reporter = SILENT) -> Report:
        """Move out the unreadable files and all but the first of each group of equal files.

        Files that are reached through a link stay, because the link's target may belong to others.

        Returns:
            The report with the files that were moved.

        Raises:
            OSError: A file cannot be moved; those before it have been, and are in the journal.
        """
        chosen = [each for each in removable(report) if self._is_own(each.name) and not self._is_link_target(each)]
        moved = []
        for done, named in enumerate(chosen, start=1):
            moved.append(self._move(named))
            reporter.progress("moving", done, len(chosen))
        return report.model_copy(update={"quarantined": tuple(moved)})

    def _is_own(self, name: str) -> bool:
        """Return whether a file exists and lies in the source itself."""
        path = self._root / name
        return path.is_file() and path.resolve() == path

    def _is_link_target(self, removable: Removable) -> bool:
        """Return whether the copy that would stay is a link to this file."""
        return removable.kept is not None and (self._root / removable.kept).resolve() == self._root / removable.name

    def _move(self, named: Named) -> Moved:
        target = next(path for path in _numbered(self._folder / named.name) if not os.path.lexists(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        moved = Moved(name=named.name, reason=named.reason, to=str(target))
        self._log(moved.model_dump() | {"from": str(self._root / named.name)})
        try:
            _move_file(self._root / named.name, target)
        except OSError as error:
            self._log({"name": named.name, "failed": error.strerror or str(error)})
            raise
        return moved

    def _log(self, line: dict[str, Any]) -> None:
        append_lines(self._folder / JOURNAL, json.dumps(line).encode() + b"\n", durable=True)


def removable(report: Report) -> list[Removable]:
    """Return the files that can leave a set without loss: unreadable ones, and copies of files that stay; sorted."""
    copies = [
        Removable(name=name, reason=f"the same file as {group[0]}", kept=group[0])
        for group in report.duplicates
        for name in group[1:]
    ]
    unreadable = [Removable(name=named.name, reason=named.reason) for named in report.unreadable]
    return sorted([*unreadable, *copies], key=lambda named: named.name)


def _numbered(path: Path) -> Iterator[Path]:
    """Yield a path, and then the same with a number before its suffix."""
    yield path
    number = 2
    while True:
        yield path.with_stem(f"{path.stem}-{number}")
        number += 1


def _move_file(source: Path, target: Path) -> None:
    """Move a file; to another file system by a complete copy that is on the disk before the original goes."""
    try:
        source.rename(target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        shutil.copy2(source, partial)
        put_in_place(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    source.unlink()
