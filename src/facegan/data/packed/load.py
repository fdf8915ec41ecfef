"""Every image decoded once: the selected images of a source as one memory-mapped array, kept in the cache."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...config import DataConfig
from ...errors import DataError
from ...reporter import Progress
from ...storage.cache import PACKED
from ...storage.locks import exclusive_lock, lock_file
from ..open import absolute_source, open_source
from ..parallel import parallel_map
from ..source import ImageSource, as_text
from ..split import select
from .pack import Recipe, cannot_write, content_digest, growing, pack
from .packed_images import IMAGES, PackedImages, PackedSource, is_damaged, is_packed, open_packed, refuse_damage

__all__ = ["PackedImages", "check_enough", "count", "load", "pack_cached", "pack_folder"]


@dataclass(frozen=True)
class Selection:
    """What is to be packed: images of an opened source, and how."""

    pictures: ImageSource
    names: Sequence[str]
    recipe: Recipe
    source: str
    words: str  # which of the source's images


def count(data: DataConfig) -> int:
    """How many images the selection lists; nothing is decoded, so undecodable ones are counted too.

    Raises:
        DataError: As `load`, for what shows without decoding.
    """
    return len(select(open_source(data), data))


def load(
    data: DataConfig,
    *,
    resolution: int,
    channels: int,
    at_least: int = 1,
    progress: Progress | None = None,
) -> PackedImages:
    """The selected images at this size, from the cache when they have been packed before.

    Args:
        data: Which images, and how each is cropped and resized.
        resolution: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        at_least: Fewer images than this (a batch) are refused, if possible before any is packed.
        progress: Called with (images done, images in all) while packing; not called when nothing is packed.

    Raises:
        DataError: The source is missing, empty or unsafe, or too few of its images can be used.
        FaceganError: The disk has no room for the packed images.
    """
    packed, _ = pack_cached(data, resolution=resolution, channels=channels, at_least=at_least, progress=progress)
    return packed


def pack_cached(
    data: DataConfig,
    *,
    resolution: int,
    channels: int,
    at_least: int = 1,
    verify: bool = False,
    progress: Progress | None = None,
) -> tuple[PackedImages, bool]:
    """The selected images in the cache, as `load` gives them, and whether they had to be packed.

    With `verify`, the source is compared with what was packed by content, not by names, sizes and times alone, and the
    packed pixels with their digest. Takes and raises the rest as `load` does.
    """
    chosen = _choose(data, resolution, channels, at_least)
    if isinstance(chosen, PackedImages):
        if verify:
            refuse_damage(chosen)
        return chosen, False
    key = chosen.recipe.key
    path = PACKED.path / key
    packed, written = PACKED.read(key, open_packed), False
    if packed is None or _is_stale(chosen, packed, verify, progress):
        with _exclusive(chosen, path, progress):
            packed = None if packed else PACKED.read(key, open_packed)  # another process may have been packing them
            if packed is None:
                _pack(chosen, path, progress)
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
    progress: Progress | None = None,
) -> tuple[PackedImages, bool]:
    """The selected images as a packed folder at `path`, and whether it had to be written.

    Args:
        data: As in `load`.
        path: A new or empty folder, or one that holds these very images already.
        resolution: As in `load`.
        channels: As in `load`.
        verify: As in `pack_cached`.
        progress: As in `load`.

    Raises:
        DataError: As `load`; or `path` holds something else, which is left as it is.
        FaceganError: As `load`.
    """
    target = path.resolve()
    chosen = _choose(data, resolution, channels, 1, whole=False)
    assert isinstance(chosen, Selection)
    with _exclusive(chosen, target, progress):
        if is_packed(path):
            packed = open_packed(path)
            _refuse_other(chosen, packed, verify, progress)
            return packed, False
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise DataError(f"{path}: exists and holds no packed images; choose another folder")
        _pack(chosen, target, progress)
    return open_packed(path), True


def changes(chosen: Selection, packed: PackedImages, progress: Progress | None = None) -> list[str]:
    """The names of the packed images whose content in the source is no longer what was packed; reads all of it."""
    digests = dict(zip(packed.names, packed.digests, strict=True)) | packed.skipped_digests
    found = sorted({as_text(name) for name in chosen.names} - digests.keys())
    wanted = [name for name in chosen.names if as_text(name) in digests]
    resolution = chosen.recipe.resolution
    contents = parallel_map(chosen.pictures, wanted, resolution, lambda _, content: content_digest(content))
    for done, (name, digest) in enumerate(contents, start=1):
        if digests.pop(as_text(name)) != digest:
            found.append(as_text(name))
        if progress is not None:
            progress(done, len(wanted))
    return found + list(digests)


def check_enough(num_images: int, batch_size: int, source: str) -> None:
    """Refuse a set that does not fill one batch.

    Raises:
        DataError: There are fewer images than a batch takes.
    """
    if num_images < batch_size:
        raise DataError(f"{source}: found {num_images} images, need at least {batch_size} (train.batch_size)")


def _choose(
    data: DataConfig, resolution: int, channels: int, at_least: int, *, whole: bool = True
) -> Selection | PackedImages:
    """The selection; or, with `whole`, a packed source itself when all of it is wanted."""
    pictures = open_source(data)
    if isinstance(pictures, PackedSource):
        pictures.check(crop=data.crop, filter=data.filter, draft=data.draft, resolution=resolution, channels=channels)
        if whole and data.takes_all:
            check_enough(len(pictures.packed), at_least, data.source)
            return pictures.packed
    names = select(pictures, data)
    check_enough(len(names), at_least, data.source)
    packed = pictures.packed if isinstance(pictures, PackedSource) else None
    recipe = Recipe(
        crop=pictures.crop if data.crop == "auto" else data.crop,
        filter=data.filter,
        draft=packed.index.draft if packed else data.draft,
        resolution=resolution,
        channels=channels,
        fingerprint=pictures.fingerprint(names),
        cropped=packed is not None,
    )
    settings = {**data.options, "split": data.split, "where": data.where, "limit": data.limit}
    words = [f"{key}={value}" for key, value in settings.items() if value not in ("all", "", 0)]
    return Selection(pictures, names, recipe, absolute_source(data.source), " ".join(words) or "all")


@contextlib.contextmanager
def _exclusive(chosen: Selection, path: Path, progress: Progress | None) -> Iterator[None]:
    """Hold the right to pack into `path`; report how far another process is that holds it.

    Raises:
        FaceganError: The folders cannot be made.
    """

    def waiting() -> None:
        with contextlib.suppress(OSError):  # the other one has not begun to write, or has just ended
            status = (growing(path) / IMAGES).stat()
            # Rows are written in any order: count what the disk holds, where the system says so.
            size_bytes = min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512)
            if progress is not None:
                progress(min(size_bytes // chosen.recipe.image_bytes, len(chosen.names) - 1), len(chosen.names))

    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive_lock(lock_file(path), waiting))
        except OSError as error:
            raise cannot_write(path.parent, error) from None
        yield


def _pack(chosen: Selection, path: Path, progress: Progress | None) -> None:
    words = {"source": chosen.source, "selection": chosen.words}
    pack(chosen.pictures, chosen.names, chosen.recipe, path, **words, progress=progress)


def _is_stale(chosen: Selection, packed: PackedImages, verify: bool, progress: Progress | None) -> bool:
    if _readable_again(chosen, packed):
        return True
    return verify and (is_damaged(packed) or bool(changes(chosen, packed, progress)))


def _readable_again(chosen: Selection, packed: PackedImages) -> bool:
    """Whether a file that could not even be read when the set was packed can be read now."""
    unread = {name for name, digest in packed.skipped_digests.items() if not digest} if packed.num_skipped else set()
    names = [name for name in chosen.names if as_text(name) in unread] if unread else []
    contents = chosen.pictures.read(names, chosen.recipe.resolution) if names else ()
    return any(not isinstance(content, DataError) for _, content in contents)


def _refuse_other(chosen: Selection, packed: PackedImages, verify: bool, progress: Progress | None) -> None:
    """Refuse a packed folder that holds other images than those chosen, or the same ones made otherwise."""
    index, recipe = packed.index, chosen.recipe
    for setting in ("resolution", "channels", "crop", "filter", "draft"):
        if getattr(index, setting) != getattr(recipe, setting):
            raise DataError(
                f"{packed.path}/: packed with {setting} = {getattr(index, setting)}, not {getattr(recipe, setting)}; "
                "choose another folder"
            )
    if verify:
        refuse_damage(packed)
    changed = changes(chosen, packed, progress) if verify else []
    if index.fingerprint != recipe.fingerprint or changed:
        named = f", {changed[0]} for one" if changed else ""
        raise DataError(
            f"{packed.path}/: packed from other images than {chosen.source} now holds{named}; "
            "choose another folder, or remove this one"
        )
