"""Load the selected images of a source as one memory-mapped array; they are decoded once and kept in the cache."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ...config import DataConfig
from ...errors import DataError
from ...reporter import SILENT, Reporter
from ...storage.cache import PACKED
from ...storage.locks import exclusive_lock, lock_file
from ..open import absolute_source, applied_crop, open_source
from ..parallel import parallel_map
from ..source import ImageSource, as_text
from ..split import select
from .pack import PackJob, PackSpec, cannot_write, content_digest, growing, pack
from .packed_images import IMAGES, PackedImages, PackedSource, check_pixels, is_damaged, is_packed, open_packed

__all__ = ["PackedImages", "check_enough", "count", "load", "pack_cached", "pack_folder"]


def count(data: DataConfig) -> int:
    """Count the images that the settings select; nothing is decoded, so undecodable ones count too.

    Raises:
        DataError: As `load`, for what shows without decoding.
    """
    return len(select(open_source(data), data))


def load(
    data: DataConfig, *, resolution: int, channels: int, at_least: int = 1, reporter: Reporter = SILENT
) -> PackedImages:
    """Load the selected images at this size, from the cache when they have been packed before.

    Args:
        data: Which images, and how each is cropped and resized.
        resolution: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        at_least: Fewer images than this (a batch) are refused, if possible before any is packed.
        reporter: Receives the progress of "packing" while images are packed.

    Raises:
        DataError: The source is missing, empty or unsafe, or too few of its images can be used.
        FaceganError: The disk has no room for the packed images.
    """
    packed, _ = pack_cached(data, resolution=resolution, channels=channels, at_least=at_least, reporter=reporter)
    return packed


def pack_cached(
    data: DataConfig,
    *,
    resolution: int,
    channels: int,
    at_least: int = 1,
    verify: bool = False,
    reporter: Reporter = SILENT,
) -> tuple[PackedImages, bool]:
    """Load the selected images from the cache, and return whether they had to be packed.

    With `verify`, the source is compared with the packed images by content, not only by names, sizes and times, and
    the packed pixels with their digest. The other arguments and errors are those of `load`.
    """
    source = open_source(data)
    if isinstance(source, PackedSource) and data.takes_all:
        source.check_settings(data, resolution, channels)
        check_enough(len(source.packed), at_least, data.source)
        if verify:
            check_pixels(source.packed)
        return source.packed, False
    job = _job(source, data, resolution, channels)
    check_enough(len(job.names), at_least, data.source)
    path = PACKED.path / job.spec.key
    packed, written = PACKED.read(path.name, open_packed), False
    if packed is None or _is_stale(job, packed, verify, reporter):
        with _exclusive(job, path, reporter):
            packed = None if packed else PACKED.read(path.name, open_packed)  # another process may have packed them
            if packed is None:
                pack(job, path, reporter)
                written = True
        packed = open_packed(path)
    check_enough(len(packed), at_least, data.source)
    return packed, written


def pack_folder(
    data: DataConfig,
    path: Path,
    *,
    resolution: int,
    channels: int,
    verify: bool = False,
    reporter: Reporter = SILENT,
) -> tuple[PackedImages, bool]:
    """Pack the selected images into a folder, and return whether it had to be written.

    Args:
        data: As in `load`.
        path: A new or empty folder, or one that holds these very images already.
        resolution: As in `load`.
        channels: As in `load`.
        verify: As in `pack_cached`.
        reporter: As in `load`.

    Raises:
        DataError: As `load`; or `path` holds something else, which is left as it is.
        FaceganError: As `load`.
    """
    target = path.resolve()
    job = _job(open_source(data), data, resolution, channels)
    check_enough(len(job.names), 1, data.source)
    with _exclusive(job, target, reporter):
        if is_packed(path):
            packed = open_packed(path)
            _check_same(job, packed, verify, reporter)
            return packed, False
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise DataError(f"{path}: exists and holds no packed images; choose another folder")
        pack(job, target, reporter)
    return open_packed(path), True


def check_enough(num_images: int, batch_size: int, source: str) -> None:
    """Check that a set fills one batch.

    Raises:
        DataError: There are fewer images than a batch takes.
    """
    if num_images < batch_size:
        raise DataError(f"{source}: found {num_images} images, need at least {batch_size} (train.batch_size)")


def _job(source: ImageSource, data: DataConfig, resolution: int, channels: int) -> PackJob:
    packed = source.packed if isinstance(source, PackedSource) else None
    if isinstance(source, PackedSource):
        source.check_settings(data, resolution, channels)
    names = select(source, data)
    spec = PackSpec(
        crop=applied_crop(source, data)[0],
        filter=data.filter,
        draft=packed.index.draft if packed else data.draft,
        resolution=resolution,
        channels=channels,
        fingerprint=source.fingerprint(names),
        cropped=packed is not None,
    )
    settings = {**data.options, "split": data.split, "where": data.where, "limit": data.limit}
    selection = " ".join(f"{key}={value}" for key, value in settings.items() if value not in ("all", "", 0))
    return PackJob(source, names, spec, {"source": absolute_source(data.source), "selection": selection or "all"})


@contextmanager
def _exclusive(job: PackJob, path: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the lock for packing into `path`; while another process holds it, report that one's progress.

    Raises:
        FaceganError: The folders cannot be made.
    """

    def report() -> None:
        with suppress(OSError):  # the other one has not begun to write, or has just ended
            status = (growing(path) / IMAGES).stat()
            # Rows are written in any order: count what the disk holds, where the system says so.
            size_bytes = min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512)
            done = min(size_bytes // job.spec.image_bytes, len(job.names) - 1)
            reporter.progress("packing", done, len(job.names))

    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive_lock(lock_file(path), report))
        except OSError as error:
            raise cannot_write(path.parent, error) from None
        yield


def _is_stale(job: PackJob, packed: PackedImages, verify: bool, reporter: Reporter) -> bool:
    if _is_readable_again(job, packed):
        return True
    return verify and (is_damaged(packed) or bool(_changed_names(job, packed, reporter)))


def _is_readable_again(job: PackJob, packed: PackedImages) -> bool:
    """Return whether a file that could not be opened when the set was packed can be read now."""
    unread = {name for name, digest in packed.skipped_digests.items() if not digest} if packed.num_skipped else set()
    names = [name for name in job.names if as_text(name) in unread] if unread else []
    contents = job.source.read(names, job.spec.resolution) if names else ()
    return any(not isinstance(content, DataError) for _, content in contents)


def _changed_names(job: PackJob, packed: PackedImages, reporter: Reporter) -> list[str]:
    """Return the packed images whose content in the source has changed since; reads all of it."""
    digests = dict(zip(packed.names, packed.digests, strict=True)) | packed.skipped_digests
    changed = sorted({as_text(name) for name in job.names} - digests.keys())
    wanted = [name for name in job.names if as_text(name) in digests]
    resolution, progress = job.spec.resolution, reporter.counter("packing")
    found = parallel_map(job.source, wanted, resolution, lambda _, each: content_digest(each), progress=progress)
    changed += [as_text(name) for name, digest in found if digests.pop(as_text(name)) != digest]
    return changed + list(digests)


def _check_same(job: PackJob, packed: PackedImages, verify: bool, reporter: Reporter) -> None:
    """Check that a packed folder holds the images of a job, packed in the same way."""
    for setting in ("resolution", "channels", "crop", "filter", "draft"):
        given, wanted = getattr(packed.index, setting), getattr(job.spec, setting)
        if given != wanted:
            raise DataError(f"{packed.path}/: packed with {setting} = {given}, not {wanted}; choose another folder")
    if verify:
        check_pixels(packed)
    changed = _changed_names(job, packed, reporter) if verify else []
    if packed.index.fingerprint != job.spec.fingerprint or changed:
        example = f", {changed[0]} for one" if changed else ""
        raise DataError(
            f"{packed.path}/: packed from other images than {job.origin['source']} now holds{example}; "
            "choose another folder, or remove this one"
        )
