"""Load the selected images of a source as one memory-mapped array; they are decoded once and kept in the cache."""

from dataclasses import replace
from pathlib import Path

from ...config import DataConfig
from ...errors import DataError
from ...messages import counted, local_path, printable
from ...reporter import SILENT, Reporter
from ...storage.atomic import open_regular, write_atomic
from ...storage.cache import PACKED, CacheEntry
from ...storage.locks import is_locked, lock_file
from ..open import open_source
from ..parallel import parallel_map
from ..rules import describe_left_out, num_left_out
from ..source import as_text, shown
from ..split import select
from .pack import PACKING_VERSIONS, PackJob, content_digest, decoder_majors, exclusive, pack
from .packed_images import (
    Index,
    PackedImages,
    PackedSource,
    check_pixels,
    check_settings,
    is_damaged,
    is_packed,
    open_packed,
)

_HASH_DIGITS = 16  # of an image's SHA-256: enough to see a change
_PIXELS = "pixels of all images"
_NUM_NAMED = 3  # images


def count(data: DataConfig) -> int:
    """Count the images that the settings select; nothing is decoded, so undecodable ones count too."""
    return len(select(open_source(data), data))


def load(
    data: DataConfig, *, resolution: int, channels: int, at_least: int = 1, reporter: Reporter = SILENT
) -> PackedImages:
    """Load the selected images at resolution x resolution, from the cache when they have been packed before.

    Fewer than `at_least` images (a batch) are refused, if possible before any is packed. The reporter receives the
    progress of "packing".

    Raises:
        DataError: The source is missing, empty or unsafe, or too few of its images can be used.
        FaceganError: The disk has no room for the packed images.
    """
    return pack_cached(data, resolution=resolution, channels=channels, at_least=at_least, reporter=reporter)[0]


def pack_cached(
    data: DataConfig,
    *,
    resolution: int,
    channels: int,
    at_least: int = 1,
    verify: bool = False,
    reporter: Reporter = SILENT,
) -> tuple[PackedImages, bool]:
    """Load the selected images as `load`, and return whether they had to be packed.

    With `verify`, the source is compared with the packed images by content, not only by names, sizes and times, and
    the packed pixels with their digest.
    """
    source = open_source(data)
    if isinstance(source, PackedSource) and data.takes_all:
        source.check_settings(data, resolution, channels)
        check_enough(len(source.packed), at_least, data.source)
        if verify:
            check_pixels(source.packed)
        return source.packed, False
    job = PackJob.of(source, data, resolution, channels)
    check_enough(len(job.names), at_least, data.source)
    path = PACKED.path / job.key
    packed, written = PACKED.read(path.name, open_packed), False
    if packed is None or _is_stale(job, packed, verify, reporter):
        with exclusive(job, path, reporter):
            packed = None if packed else PACKED.read(path.name, open_packed)  # another process may have packed them
            if packed is None:
                pack(job, path, reporter)
                written = True
        packed = open_packed(path)
    check_enough(len(packed), at_least, data.source)
    left_out = packed.index.model_copy(update={"passed_over": num_left_out(source)})  # it may be more by now
    return replace(packed, index=left_out), written


def pack_folder(
    data: DataConfig,
    path: Path,
    *,
    resolution: int,
    channels: int,
    verify: bool = False,
    reporter: Reporter = SILENT,
) -> tuple[PackedImages, bool]:
    """Pack the selected images into a folder, as `pack_cached` does into the cache.

    The folder is new or empty, or contains these same images; anything else in it is a DataError, and stays unchanged.
    """
    target = path.resolve()
    job = PackJob.of(open_source(data), data, resolution, channels)
    check_enough(len(job.names), 1, data.source)
    with exclusive(job, target, reporter):
        if is_packed(path):
            packed = open_packed(path)
            _check_same(job, packed, verify, reporter)
            return packed, False
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise DataError(f"{path}: exists and holds no packed images; choose another folder")
        pack(job, target, reporter)
    return open_packed(path), True


def check_enough(num_images: int, batch_size: int, source: str) -> None:
    """Raise DataError for a set that does not fill one batch."""
    if num_images < batch_size:
        found = counted(num_images, "image")
        raise DataError(f"{source}: found {found}, need at least {batch_size} (train.batch_size)")


def remarks(packed: PackedImages, *, num_named: int = _NUM_NAMED) -> list[str]:
    """Return lines about the files that are left out or incomplete; they name the first images."""
    lines = []
    if packed.index.passed_over:
        lines.append(describe_left_out(packed.index.passed_over))
    if packed.num_skipped:
        reasons = [f"{shown(name)}: {reason}" for name, reason in packed.skipped[:num_named]]
        more = [f"and {packed.num_skipped - num_named:,} more"] if packed.num_skipped > num_named else []
        lines.append(f"skipped {counted(packed.num_skipped, 'image')} ({'; '.join([*reasons, *more])})")
    if num := packed.index.num_unended:
        lines.append(f"{counted(num, 'JPEG file')} without an end marker, but with all pixels: used")
    return lines


def write_names(path: Path, packed: PackedImages) -> None:
    """Write a text file with the digest of the pixels, then the hash and name of each image, a line each.

    Images whose names cannot be read, which training does not need, are a file with the digest alone.
    """
    try:
        hashes = _hashes(packed)
    except DataError:
        hashes = {}
    lines = [f"{hash}  {name}\n" for name, hash in ((_PIXELS, packed.digest), *hashes.items())]
    write_atomic(path, "".join(lines).encode())


def compare_names(path: Path, packed: PackedImages) -> str:
    """Return which images came, went or changed since `write_names`; empty where none did or no list can be read."""
    try:
        with open_regular(path) as file:
            lines = file.read().decode().splitlines()
        old = {name: hash for hash, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        return ""
    if old.pop(_PIXELS, packed.digest) == packed.digest or not old:
        return ""
    new = _hashes(packed)
    kinds = {
        "came": sorted(new.keys() - old.keys()),
        "went": sorted(old.keys() - new.keys()),
        "changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
    }
    found = [f"{counted(len(each), 'file')} {verb} ({_first(each)})" for verb, each in kinds.items() if each]
    return ", ".join(found) or "the files are the same, but other versions of Pillow or simplejpeg read them otherwise"


def _hashes(packed: PackedImages) -> dict[str, str]:
    pairs = zip(packed.names, packed.digests, strict=True)
    return {printable(name): digest.hex()[:_HASH_DIGITS] for name, digest in pairs}


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED:,} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(map(shown, names[:_NUM_NAMED])) + more


def _is_stale(job: PackJob, packed: PackedImages, verify: bool, reporter: Reporter) -> bool:
    """Return whether a file that could not be opened can be read now or, with `verify`, anything has changed."""
    unread = {name for name, digest in packed.skipped_digests.items() if not digest} if packed.num_skipped else set()
    names = [name for name in job.names if as_text(name) in unread] if unread else []
    contents = job.source.read(names, job.index.resolution) if names else ()
    if any(not isinstance(content, DataError) for _, content in contents):
        return True
    return verify and (is_damaged(packed) or bool(_changed_names(job, packed, reporter)))


def _changed_names(job: PackJob, packed: PackedImages, reporter: Reporter) -> list[str]:
    """Return the packed images whose content in the source has changed since; reads all of it."""
    digests = dict(zip(packed.names, packed.digests, strict=True)) | packed.skipped_digests
    changed = sorted({as_text(name) for name in job.names} - digests.keys())
    wanted = [name for name in job.names if as_text(name) in digests]
    resolution, progress = job.index.resolution, reporter.counter("packing")
    found = parallel_map(job.source, wanted, resolution, lambda _, each: content_digest(each), progress=progress)
    changed += [as_text(name) for name, digest in found if digests.pop(as_text(name)) != digest]
    return changed + list(digests)


def _check_same(job: PackJob, packed: PackedImages, verify: bool, reporter: Reporter) -> None:
    """Check that a packed folder holds the images of a job, packed in the same way."""
    settings = ("resolution", "channels", "data.crop", "data.filter", "data.draft")
    wanted = {name: getattr(job.index, name.removeprefix("data.")) for name in settings}
    check_settings(packed.index, f"{packed.path}/", wanted, "choose another folder")
    if verify:
        check_pixels(packed)
    changed = _changed_names(job, packed, reporter) if verify else []
    if packed.index.fingerprint != job.index.fingerprint or changed:
        example = f", {changed[0]} for one" if changed else ""
        raise DataError(
            f"{packed.path}/: packed from other images than {job.index.source} now holds{example}; "
            "choose another folder, or remove this one"
        )


class PackedEntry(CacheEntry):
    """A packed set in the cache; `index` says how it was packed, None for a folder that cannot be opened."""

    index: Index | None = None


def entries() -> list[PackedEntry]:
    """Return the packed sets in the cache, the last used first, without those that are being packed now."""
    found: list[PackedEntry] = []
    newest: set[tuple[object, ...]] = set()
    for entry in PACKED.entries():
        target = entry.path.with_name(entry.path.name.strip(".").partition(".")[0])  # what it is, or was to become
        if not entry.path.is_dir() or is_locked(lock_file(target)):
            continue
        index, useless = None, "left by a packing that was killed" if entry.path.name.startswith(".") else None
        if not useless:
            try:
                index = open_packed(entry.path).index
                useless = _useless(index, newest)
            except DataError as error:
                useless = str(error).partition(": ")[2].partition("; ")[0]
        found.append(PackedEntry(**{**entry.model_dump(), "index": index, "useless": useless}))
    return found


def _useless(index: Index, newest: set[tuple[object, ...]]) -> str | None:
    """Return why no run can use a set any more, or None; `newest` collects what later packings have replaced."""
    versions = {name: version for name, version in index.versions.items() if name != "facegan"}
    majors = {name: version.split(".")[0] for name, version in versions.items()}
    if index.packing not in PACKING_VERSIONS.values() or majors != decoder_majors():
        words = ", ".join(f"{name} {version}" for name, version in versions.items())
        return f"made with {words}; other ones are installed now"
    source = Path(local_path(index.source))
    if source.is_absolute() and source.parent.exists() and not source.exists():  # else only its disk may be away
        return "its images are gone"
    made = (index.packing, index.selection, index.crop, index.filter, index.draft, index.resolution, index.channels)
    if (index.source, *made) in newest:
        return "the images have changed since, and were packed again"
    newest.add((index.source, *made))
    return None
