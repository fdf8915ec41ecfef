"""Move images out of a folder in a way that can be undone: nothing is deleted, and nothing is overwritten."""

import errno
import json
import os
import secrets
import shutil
from itertools import chain, count
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...reporter import SILENT, Reporter
from ...storage.atomic import append_lines, put_in_place
from ..folder import FolderSource
from ..source import ImageSource
from .check import Moved, Named, Report

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
        """Check that images of the source, which messages call `where`, can be moved there; nothing is created yet."""
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
        """Move the unreadable files and all but the first of each group of equal files, and list them in the report.

        Files that are reached through a link stay, because the link's target may belong to others.

        Raises:
            OSError: A file cannot be moved; those before it have been, and are in the journal.
        """
        chosen = [each for each in removable(report) if self._can_move(each)]
        moved = []
        for done, named in enumerate(chosen, start=1):
            moved.append(self._move(named))
            reporter.progress("moving", done, len(chosen))
        return report.model_copy(update={"quarantined": tuple(moved)})

    def _can_move(self, removable: Removable) -> bool:
        """Return whether a file exists in the source itself, and the copy that would stay is no link to it."""
        path = self._root / removable.name
        is_link_target = removable.kept is not None and (self._root / removable.kept).resolve() == path
        return path.is_file() and path.resolve() == path and not is_link_target

    def _move(self, named: Named) -> Moved:
        source, target = self._root / named.name, self._folder / named.name
        numbered = (target.with_stem(f"{target.stem}-{number}") for number in count(2))
        target = next(path for path in chain([target], numbered) if not os.path.lexists(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        moved = Moved(name=named.name, reason=named.reason, to=str(target))
        self._log(moved.model_dump() | {"from": str(source)})
        try:
            _move_file(source, target)
        except OSError as error:
            self._log({"name": named.name, "failed": error.strerror or str(error)})
            raise
        return moved

    def _log(self, line: dict[str, Any]) -> None:
        append_lines(self._folder / JOURNAL, json.dumps(line).encode() + b"\n", durable=True)


def removable(report: Report) -> list[Removable]:
    """Return the files that can leave a set without loss: unreadable ones, and copies of files that stay; sorted."""
    unreadable = [Removable(name=named.name, reason=named.reason) for named in report.unreadable]
    copies = [
        Removable(name=name, reason=f"the same file as {kept}", kept=kept)
        for kept, *others in report.duplicates
        for name in others
    ]
    return sorted([*unreadable, *copies], key=lambda named: named.name)


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
