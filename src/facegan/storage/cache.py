"""The cache: a folder for each kind of entry, in it a file or folder for each key. No torch here."""

import errno
import hashlib
import os
import re
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
from .atomic import has_our_header, is_temporary, json_object, read_regular, size_of, write_atomic

T = TypeVar("T")

_DAY = 24 * 3600.0
_DIGITS = "[0-9a-f]{32}"  # of a key
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
    """The entries of one kind; what lies there without one of its names, or with other content, is not ours."""

    kind: str
    names: re.Pattern[str] = re.compile(r"(?!)")
    is_ours: Callable[[Path], bool] = Path.is_file

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
        """Return the entries that are ours by name and content, the last used first; none through a link."""
        paths = self.path.iterdir() if self.path.is_dir() and not self.path.is_symlink() else ()
        found = [entry for path in paths if not path.is_symlink() and (entry := self._entry(path))]
        return sorted(found, key=lambda entry: entry.days_unused)

    def _entry(self, path: Path) -> CacheEntry | None:
        was_killed = is_temporary(path, self.names)
        if not was_killed and not (self.names.fullmatch(path.name) and self.is_ours(path)):
            return None
        days = max(0.0, (time.time() - path.stat().st_mtime) / _DAY)
        # A file that is being written has such a name as well, but not for a day.
        useless = "left by a writing that was killed" if was_killed and days > 1 else None
        return CacheEntry(kind=self.kind, path=path, size_bytes=size_of(path), days_unused=days, useless=useless)


def _is_packed_set(path: Path) -> bool:
    """Return whether a folder holds nothing but files of packed images, with our index unless it is unfinished."""
    if not path.is_dir() or not all(_is_packed_file(each) for each in path.iterdir()):
        return False
    with suppress(OSError):
        index = json_object(read_regular(path / "index.json", 2**20))
        return index is not None and {"packing", "num_images", "fingerprint"} <= index.keys()
    return path.name.startswith(".")


def _is_packed_file(path: Path) -> bool:
    return not path.is_symlink() and (path.name in PACKED_FILES or is_temporary(path, _PACKED_NAMES))


def _is_projection(path: Path) -> bool:
    with suppress(OSError):
        return (json_object(read_regular(path, 2**24)) or {}).keys() == {"distances", "rms"}
    return False


PACKED_FILES = ("images.npy", "index.json", "pictures.parquet", "skipped.json")
_PACKED_NAMES = re.compile("|".join(map(re.escape, PACKED_FILES)))
_SETS = re.compile(rf"{_DIGITS}|\.{_DIGITS}(\.partial(-replaced)?)?(\.removed-[0-9a-f]{{8}})*")
PACKED = CacheFolder("packed", _SETS, _is_packed_set)
REFERENCES = CacheFolder("references", re.compile(rf"\w+-{_DIGITS}\.safetensors"), has_our_header)
CLASSIFIERS = CacheFolder("classifiers", re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}-\w+\.safetensors"), has_our_header)
PROJECTIONS = CacheFolder("projections", re.compile(rf"{_DIGITS}\.json"), _is_projection)
DATASETS = CacheFolder("datasets")
WEIGHTS = CacheFolder("weights")


def computed_files() -> list[CacheEntry]:
    """Return the single files that are computed again when they are missing, kind by kind, the last used first."""
    return [entry for folder in (REFERENCES, CLASSIFIERS, PROJECTIONS) for entry in folder.entries()]


def remove(path: Path) -> None:
    """Remove a file, or a folder of packed images, of the cache; a process that has it open can read on."""
    if not path.is_dir():
        return path.unlink(missing_ok=True)
    aside = path.with_name(f".{path.name.lstrip('.')}.removed-{uuid.uuid4().hex[:8]}")
    path.rename(aside)  # gone for everyone else at once
    remove_packed(aside)


def remove_packed(folder: Path) -> None:
    """Remove a folder of packed images, if there is one; raises OSError for a link, and if it holds anything else."""
    paths = list(folder.iterdir()) if folder.is_dir() else []
    if folder.is_symlink() or not all(map(_is_packed_file, paths)):
        raise OSError(errno.ENOTEMPTY, "holds other files than packed images", str(folder))
    for path in paths:
        path.unlink()
    with suppress(FileNotFoundError):
        folder.rmdir()
