"""The packed sets in the cache, and which of them no run can use any more."""

from pathlib import Path

from ...errors import DataError
from ...storage.cache import PACKED, CacheEntry
from ...storage.locks import is_locked, lock_file
from .pack import PACKING_VERSION, decoder_majors
from .packed_images import Index, open_packed


class PackedEntry(CacheEntry):
    """A packed set; `index` says how it was packed, None for a folder that cannot be opened."""

    index: Index | None = None


def entries() -> list[PackedEntry]:
    """Return the packed sets, the last used first, without those that are being packed now."""
    listed = [entry for entry in PACKED.entries() if entry.path.is_dir()]
    found = [_packed(entry) for entry in listed if not is_locked(lock_file(_target(entry.path)))]
    newest: dict[tuple[object, ...], Path] = {}
    for place, entry in enumerate(found):
        if entry.index and not entry.useless and newest.setdefault(_settings(entry.index), entry.path) != entry.path:
            found[place] = entry.model_copy(update={"useless": "the images have changed since, and were packed again"})
    return found


def _packed(entry: CacheEntry) -> PackedEntry:
    index, useless = None, None
    if entry.path.name.startswith("."):
        useless = "left by a packing that was killed"
    else:
        try:
            index = open_packed(entry.path).index
            useless = _useless(index)
        except DataError as error:
            useless = str(error).partition(": ")[2].partition("; ")[0]
    return PackedEntry(**{**entry.model_dump(), "index": index, "useless": useless})


def _useless(index: Index) -> str | None:
    versions = {name: version for name, version in index.versions.items() if name != "facegan"}
    majors = {name: version.split(".")[0] for name, version in versions.items()}
    if index.packing != PACKING_VERSION or majors != decoder_majors():
        words = ", ".join(f"{name} {version}" for name, version in versions.items())
        return f"made with {words}; other ones are installed now"
    source = Path(index.source)
    if source.is_absolute() and source.parent.exists() and not source.exists():  # else only its disk may be away
        return "its images are gone"
    return None


def _settings(index: Index) -> tuple[object, ...]:
    """What two packings of the same images share even when the images have changed in between."""
    return (
        index.source, index.selection, index.crop, index.filter, index.draft, index.resolution, index.channels,
    )  # fmt: skip


def _target(path: Path) -> Path:
    """The packed folder that a folder of the cache is, or was to become."""
    return path.with_name(path.name.strip(".").partition(".")[0])
