"""The cache: a folder for each kind of entry, in it a file or folder for each key. No torch here."""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import platformdirs
from pydantic import BaseModel, ConfigDict

from ..errors import FaceganError
from .atomic import is_temporary, size_of, write_atomic

T = TypeVar("T")

_DAY = 24 * 3600.0
_DAMAGE = (OSError, FaceganError, ValueError, LookupError, RuntimeError)  # what reading a damaged entry raises


def cache_root() -> Path:
    """Return the folder of the cache: `$FACEGAN_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("FACEGAN_CACHE") or platformdirs.user_cache_dir("facegan", appauthor=False))


def hashed_key(facts: str) -> str:
    """Return the key of an entry that depends on these facts and nothing else: 32 hex digits of their SHA-256."""
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


class CacheEntry(BaseModel):
    """An entry as `facegan cache list` shows it."""

    model_config = ConfigDict(frozen=True)

    kind: str  # its folder in the cache
    path: Path
    size_bytes: int
    days_unused: float  # since it was last written or read
    useless: str | None = None  # why nothing can use it


@dataclass(frozen=True)
class CacheFolder:
    """The entries of one kind."""

    kind: str

    @property
    def path(self) -> Path:
        """The folder; it need not exist."""
        return cache_root() / self.kind

    def read(self, key: str, load: Callable[[Path], T]) -> T | None:
        """Load an entry and mark it as used; None where it is missing, damaged or foreign."""
        path = self.path / key
        try:
            found = load(path)
        except _DAMAGE:
            return None
        with suppress(OSError):  # a cache that others own
            os.utime(path)
        return found

    def write(self, key: str, content: bytes | Callable[[Path], object]) -> Path:
        """Write an entry atomically, given its bytes or a function that writes a path atomically; return its path."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            write_atomic(path, content)
        else:
            content(path)
        return path

    def entries(self) -> list[CacheEntry]:
        """Return the entries, the last used first."""
        found = [self._entry(path) for path in self.path.iterdir()] if self.path.is_dir() else []
        return sorted(found, key=lambda entry: entry.days_unused)

    def _entry(self, path: Path) -> CacheEntry:
        days = max(0.0, (time.time() - path.stat().st_mtime) / _DAY)
        # A file that is being written has such a name as well, but not for a day.
        useless = "left by a writing that was killed" if is_temporary(path) and days > 1 else None
        return CacheEntry(kind=self.kind, path=path, size_bytes=size_of(path), days_unused=days, useless=useless)


PACKED = CacheFolder("packed")
REFERENCES = CacheFolder("references")
CLASSIFIERS = CacheFolder("classifiers")
PROJECTIONS = CacheFolder("projections")
DATASETS = CacheFolder("datasets")
WEIGHTS = CacheFolder("weights")


def computed_files() -> list[CacheEntry]:
    """Return the single files that are computed again when they are missing, kind by kind, the last used first."""
    return [entry for folder in (REFERENCES, CLASSIFIERS, PROJECTIONS) for entry in folder.entries()]


def remove(path: Path) -> None:
    """Remove a file or folder of the cache; a process that has it open can read on."""
    if not path.is_dir():
        return path.unlink(missing_ok=True)
    aside = path.with_name(f".{path.name.lstrip('.')}.removed-{uuid.uuid4().hex[:8]}")
    path.rename(aside)  # gone for everyone else at once
    shutil.rmtree(aside)
