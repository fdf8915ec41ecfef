"""The cache of packed images: what lies in it, and clearing what no run can use any more."""

import shutil
import time
import uuid
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ...errors import DataError
from ...storage.locks import is_being_written
from .load import packed_folder
from .pack import PACKING_VERSION, decoders
from .packed_images import Index, open_packed

_DAY = 24 * 3600.0


class Entry(BaseModel):
    """One folder of the cache.

    Attributes:
        path: The folder.
        size_bytes: What it takes on the disk.
        days_unused: Since it was last written or trained on.
        index: How it was packed, or None for what cannot be opened.
        useless: Why no run can use it any more, or None.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    size_bytes: int
    days_unused: float
    index: Index | None
    useless: str | None


def entries() -> list[Entry]:
    """What lies in the cache, the last used first; what is being packed just now is left out."""
    root = packed_folder()
    folders = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    found = [_entry(path) for path in folders if not is_being_written(_target(path))]
    found.sort(key=lambda entry: entry.days_unused)
    newest: dict[tuple[object, ...], Path] = {}
    for place, entry in enumerate(found):
        if entry.index and not entry.useless and newest.setdefault(_made(entry.index), entry.path) != entry.path:
            found[place] = entry.model_copy(update={"useless": "the images have changed since, and were packed anew"})
    return found


def remove(entry: Entry) -> None:
    """Take a folder out of the cache; a run that reads it keeps what it has open.

    Raises:
        OSError: It cannot be removed.
    """
    aside = entry.path.with_name(f".{_target(entry.path).name}.removed-{uuid.uuid4().hex[:8]}")
    entry.path.rename(aside)  # at once gone for everyone else
    shutil.rmtree(aside)


def _entry(path: Path) -> Entry:
    size_bytes = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    days_unused = max(0.0, (time.time() - path.stat().st_mtime) / _DAY)
    index, useless = None, None
    if path.name.startswith("."):
        useless = "left by a packing that was killed"
    else:
        try:
            index = open_packed(path).index
            useless = _useless(index)
        except DataError as error:
            useless = str(error).partition(": ")[2].partition("; ")[0]
    return Entry(path=path, size_bytes=size_bytes, days_unused=days_unused, index=index, useless=useless)


def _useless(index: Index) -> str | None:
    made = {name: version for name, version in index.versions.items() if name != "facegan"}
    if index.packing != PACKING_VERSION or {name: each.split(".")[0] for name, each in made.items()} != decoders():
        words = ", ".join(f"{name} {version}" for name, version in made.items())
        return f"made with {words}; other ones are installed now"
    source = Path(index.source)
    if source.is_absolute() and source.parent.exists() and not source.exists():  # else its disk may only be away
        return "its images are gone"
    return None


def _made(index: Index) -> tuple[object, ...]:
    """What two packings of the same images have in common though the images have changed in between."""
    return (
        index.source, index.selection, index.crop, index.filter, index.draft, index.resolution, index.channels,
    )  # fmt: skip


def _target(path: Path) -> Path:
    """The packed folder that a folder of the cache is, or was to become."""
    return path.with_name(path.name.strip(".").partition(".")[0])
