"""A published dataset brought here: from the first of its sources that works, or from a copy that a person has."""

import functools
import hashlib
import shutil
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigError, DataError, DownloadError, FaceganError
from ..storage.atomic import put_in_place
from ..storage.cache import DATASETS
from ..storage.locks import exclusive_lock
from .drive import DriveSource, shared_id
from .http import fetch
from .links import Link, Progress, Say, digest_of, matches
from .places import Record, recall, register, remember
from .publication import File, Publication, Source
from .web import WebSource, name_in

Look = Callable[[Path], int]  # opens a copy and counts its images; raises a FaceganError for what is none


def present(row: Publication) -> Record | None:
    """What is remembered of a copy that is here and complete, or was never counted; None when there is none.

    Raises:
        DataError: What is remembered is damaged.
    """
    record = recall(row.name)
    whole = record.num_images is None or record.num_images >= row.num_images
    return record if whole and record.path is not None and record.path.exists() else None


def download(row: Publication, *, root: Path | None = None, look: Look, say: Say, progress: Progress) -> Record:
    """Bring a dataset here from the first of its sources that works, and register it.

    What has arrived waits in the folder `partial` inside the dataset's own until all of it is here, verified and
    opened; the next call goes on from there.

    Args:
        row: The dataset.
        root: The folder in which the dataset's own folder is made; None: the one of the last time, else the cache's.
        look: Opens what has arrived and counts its images.
        say: Is told in a line what happens.
        progress: Is told how many bytes of a file are here.

    Raises:
        DownloadError: No source works; the message says what to fetch by hand.
    """
    folder = _folder(row, root)
    with alone(folder, row.name, say):
        if found := present(row):  # whom we waited for has brought it
            return found
        for number, source in enumerate(row.sources):
            if not number:
                say(f"{row.name}: fetching from {source.title}")
            try:
                path, _ = _bring(row, source, folder, look=_counting(look, row), say=say, progress=progress)
                return _settle(row, folder, path, row.num_images, source.title)
            except DownloadError as error:
                where = "" if str(error).startswith(source.title) else f"{source.title}: "
                after = row.sources[number + 1].title if number + 1 < len(row.sources) else None
                say(f"{row.name}: {where}{error}; {f'now {after}' if after else 'there is no further source'}")
    raise DownloadError(
        f"{row.name}: no source worked; fetch {row.by_hand} by hand from {row.by_hand_url}, "
        f"then run: facegan download {row.name} --from {row.by_hand}"
    )


def take_copy(row: Publication, path: Path, *, look: Look, say: Say) -> Record:
    """Register a copy that a person has, where it lies.

    Raises:
        DataError: There is nothing at `path`, or it cannot be opened.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give the copy of {row.name} that you have")
    try:
        num_images = look(path)
    except DataError:
        inside = [path / file.name for file in row.copies if (path / file.name).is_file()]
        if not inside:
            raise
        path = inside[0]  # the published archive, and whatever lies beside it
        num_images = look(path)
    if path.is_file():
        _compare(row, path, say)
    return register(row.name, path, num_images=num_images, source="a copy of your own")


def fetch_copy(
    row: Publication, url: str, *, root: Path | None = None, look: Look, say: Say, progress: Progress
) -> Record:
    """Fetch a copy from an address that a person gives, and register it; as much of it as there is.

    Raises:
        ConfigError: The address is neither http nor https.
        DownloadError: It cannot be fetched or opened.
    """
    source = source_at(url, row.name)
    folder = _folder(row, root)
    with alone(folder, row.name, say):
        folder /= "copy-" + hashlib.sha256(url.encode()).hexdigest()[:8]  # so that two addresses never mix
        try:
            path, num_images = _bring(row, source, folder, look=look, say=say, progress=progress)
        except DownloadError as error:
            if not any(part.stat().st_size for part in folder.rglob("*.part")):  # nothing that could be gone on with
                shutil.rmtree(folder, ignore_errors=True)
            raise DownloadError(f"{row.name}: {error}") from None
        _compare(row, path, say)
        return _settle(row, folder, path, num_images, url)


def in_words(num_images: int, row: Publication) -> str:
    """How many images a copy holds, beside how many are published."""
    if num_images == row.num_images:
        return f"{num_images:,} images, as published"
    if num_images < row.num_images:
        return f"{num_images:,} of {row.num_images:,} images"
    return f"{num_images:,} images where {row.num_images:,} are published"


def _bring(
    row: Publication, source: Source, folder: Path, *, look: Look, say: Say, progress: Progress
) -> tuple[Path, int]:
    """Fetch what a source has, verify and open it, and give it its final names; the path to open, and its count."""
    links = source.links()
    final, waiting = folder / source.folder, folder / "partial" / source.key
    if all(matches(final / link.name, link.checksum, link.size_bytes) for link in links if link.needed):
        try:
            return final / source.opens, _opened(look, final / source.opens)
        except DownloadError as error:
            say(f"{row.name}: {error}; it is fetched anew")
    _fetch_all(row, source, links, waiting, say, progress)
    try:
        num_images = _opened(look, waiting / source.opens)
        for link in links:
            if not link.checksum and link.needed:
                _prove(row, waiting / link.name, say)
    except DownloadError:
        shutil.rmtree(waiting)  # all of it has arrived, and none of it is of use
        raise
    final.mkdir(parents=True, exist_ok=True)
    for link in sorted(links, key=lambda link: link.needed):  # the needed ones last: once they are there, all is
        if (waiting / link.name).exists():
            put_in_place(waiting / link.name, final / link.name)
    return final / source.opens, num_images


def _fetch_all(
    row: Publication, source: Source, links: Sequence[Link], waiting: Path, say: Say, progress: Progress
) -> None:
    """Fetch every file of a source; one that is not needed may fail."""
    sizes = [link.size_bytes for link in links]
    whole = sum(size or 0 for size in sizes) if all(sizes) else None
    for number, link in enumerate(links):
        before = sum(size or 0 for size in sizes[:number]) if whole else 0

        def show(name: str, done: int, total: int | None, number: int = number, before: int = before) -> None:
            label = f"{name} ({number + 1} of {len(links)})" if len(links) > 1 else name
            progress(label, before + done, whole or total)

        try:
            fetch(link, waiting, patience=source.patience, say=say, progress=show)
        except DownloadError as error:
            if link.needed:
                raise
            say(f"{row.name}: {link.name} is missing ({error}); the images do without it, or lay it beside them later")


def _counting(look: Look, row: Publication) -> Look:
    """The same look, which wants to see every image that is published, and no others."""

    def counted(path: Path) -> int:
        num_images = look(path)
        if num_images != row.num_images:
            raise DownloadError(f"it holds {in_words(num_images, row)}")
        return num_images

    return counted


def _opened(look: Look, path: Path) -> int:
    try:
        return look(path)
    except FaceganError as error:
        raise DownloadError(f"what has arrived cannot be used ({error})") from None


def _prove(row: Publication, path: Path, say: Say) -> None:
    """Check a file of which no checksum is published by those that it holds itself."""
    if not zipfile.is_zipfile(path):  # a tar archive was read to its end when it was opened
        say(f"{row.name}: no checksum of {path.name} is published; it could be opened, and that is all that is known")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = _first_damaged(archive)
    except Exception as error:  # on damaged bytes the reader raises a dozen kinds
        raise DownloadError(f"what has arrived is damaged ({error})") from None
    if damaged is not None:
        raise DownloadError(f"what has arrived is damaged (in '{damaged}')")
    say(f"{row.name}: no checksum of {path.name} is published; those of all its members are right")


def _first_damaged(archive: zipfile.ZipFile) -> str | None:
    """The first member whose checksum is wrong; unpacks none further than it says that it reaches."""
    for member in archive.infolist():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return member.filename
        with archive.open(member) as file:
            while file.read(2**20):
                if file.tell() > member.file_size:
                    return member.filename
    return None


def _settle(row: Publication, folder: Path, path: Path, num_images: int, source: str) -> Record:
    """Register what is complete, and remove what other sources have left half-way."""
    shutil.rmtree(folder / "partial", ignore_errors=True)
    return register(row.name, path, num_images=num_images, source=source)


def _compare(row: Publication, path: Path, say: Say) -> None:
    """Say whether a file is one of those that are known."""
    size_bytes = path.stat().st_size
    known = [file for file in row.copies if file.checksum and (path.name == file.name or size_bytes == file.size_bytes)]
    for file in known:
        kind = file.checksum.partition(":")[0]
        what = kind if file.name == path.name else f"{kind} of {file.name}"
        if digest_of(path, file.checksum) == file.checksum:
            say(f"{row.name}: {path.name} has the published {what}")
            return
    if known:
        say(f"{row.name}: {path.name} does not have the published {what}; it is used as it is")


def source_at(url: str, of: str) -> Source:
    """The one file at an address that a person gives, of the thing that is called so.

    Raises:
        ConfigError: The address is neither http nor https.
        DownloadError: It is a link to a folder on Google Drive.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url}: not a kind of address that is fetched; give http:// or https://, or a path")
    shared = shared_id(url)
    name = name_in(url, otherwise=f"{of}-copy") if shared is None else f"{of}-{shared}"
    file = File(name=name, at=shared or url)
    if shared is not None:
        return DriveSource(files=(file,), opens=name)
    return WebSource(host=urllib.parse.urlsplit(url).hostname or url, files=(file,), opens=name)


def _folder(row: Publication, root: Path | None) -> Path:
    """The dataset's own folder."""
    folder = (root.resolve() if root else recall(row.name).root or DATASETS.path) / row.name
    folder.mkdir(parents=True, exist_ok=True)
    if root is not None:  # once it has shown that it can be one
        remember(row.name, root=root.resolve())
    return folder


@contextmanager
def alone(folder: Path, name: str, say: Say) -> Iterator[None]:
    """Wait until nobody else fetches into this folder, and keep others from it."""

    @functools.cache  # said once
    def waiting() -> None:
        say(f"{name}: another facegan is fetching it; waiting for that one")

    with exclusive_lock(folder / ".lock", waiting):
        yield
