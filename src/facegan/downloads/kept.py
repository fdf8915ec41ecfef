"""Single files of the caches that are made again when they are wanted: classifiers, features of real images."""

import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..storage.atomic import is_temporary
from .places import cache_root

KINDS = ("references", "classifiers")  # folders of the cache
_DAY = 24 * 3600.0


class Kept(BaseModel):
    """One file.

    Attributes:
        path: The file.
        size_bytes: What it takes on the disk.
        days_unused: Since it was last written or read.
        useless: Why nothing can use it, or None.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    size_bytes: int
    days_unused: float
    useless: str | None


def kept() -> list[Kept]:
    """All of them, kind by kind, the last used first."""
    found = []
    for kind in KINDS:
        folder = cache_root() / kind
        files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
        found += sorted((_kept(path) for path in files), key=lambda each: each.days_unused)
    return found


def _kept(path: Path) -> Kept:
    status = path.stat()
    days_unused = max(0.0, (time.time() - status.st_mtime) / _DAY)
    # One that is being written has such a name, too, but not for a day.
    useless = "left by a writing that was killed" if is_temporary(path) and days_unused > 1 else None
    return Kept(path=path, size_bytes=status.st_size, days_unused=days_unused, useless=useless)
