"""Download a published dataset from the first of its sources that works, or register a copy that a person has."""

import functools
import hashlib
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from ..errors import DataError, DownloadError, FaceganError
from ..messages import counted
from ..reporter import SILENT, Callbacks, Reporter
from ..storage.atomic import put_in_place
from ..storage.cache import DATASETS
from ..storage.locks import exclusive_lock
from .http import Link, digest_of, fetch
from .publication import DownloadSource, Publication
from .registry import Record, recall, register, remember
from .sources import source_at

CountImages = Callable[[Path], int]  # opens a copy; raises a FaceganError where that is impossible

_MAX_RATIO = 100  # of a zip archive's contents to its size: images hardly shrink, bombs shrink a thousandfold


def present(row: Publication) -> Record | None:
    """Return the record of a copy that exists and is complete, or was never counted; None without one.

    Raises:
        DataError: The record is damaged.
    """
    record = recall(row.name)
    is_complete = record.num_images is None or record.num_images >= row.num_images
    return record if is_complete and record.path is not None and record.path.exists() else None


def download(
    row: Publication, *, root: Path | None = None, count_images: CountImages, reporter: Reporter = SILENT
) -> Record:
    """Download a dataset from the first of its sources that works, and register it.

    Files lie in the folder `partial` inside the dataset's own until all are here, verified and opened; the next call
    continues an interrupted download.

    Args:
        row: The dataset.
        root: The folder in which the dataset's own folder is made; None: the one of the last time, else the cache's.
        count_images: Opens the downloaded copy and counts its images.
        reporter: Receives what happens, and the bytes of each file.

    Raises:
        DownloadError: No source works; the message says what to download by hand.
    """
    folder = _dataset_folder(row, root)
    with exclusive(folder, row.name, reporter):
        if found := present(row):  # downloaded by the process that this one waited for
            return found

        def check_count(path: Path) -> int:
            num_images = count_images(path)
            if num_images != row.num_images:
                raise DownloadError(f"it holds {describe_count(num_images, row)}")
            return num_images

        job = _Job(row, folder, check_count, reporter)
        reporter.info(f"{row.name}: fetching from {row.sources[0].title}")
        for source, after in zip_longest(row.sources, row.sources[1:]):
            try:
                return job.run(source, source.title)
            except DownloadError as error:
                where = "" if str(error).startswith(source.title) else f"{source.title}: "
                then = f"now {after.title}" if after else "there is no further source"
                reporter.warning(f"{row.name}: {where}{error}; {then}")
    raise DownloadError(
        f"{row.name}: no source worked; fetch {row.by_hand} by hand from {row.by_hand_url}, "
        f"then run: facegan download {row.name} --from {row.by_hand}"
    )


def take_copy(row: Publication, path: Path, *, count_images: CountImages, reporter: Reporter = SILENT) -> Record:
    """Register a person's own copy in its place.

    Raises:
        DataError: There is nothing at `path`, or it cannot be opened.
    """
    inside = [path / file.name for file in row.copies if (path / file.name).is_file()]
    try:
        num_images = count_images(path) if path.exists() else 0  # `register` refuses it
    except DataError:
        if not inside:
            raise
        path = inside[0]  # the published archive, with other files next to it
        num_images = count_images(path)
    if path.is_file():
        _compare_checksum(row, path, reporter)
    return register(row.name, path, num_images=num_images, source="a copy of your own")


def fetch_copy(
    row: Publication, url: str, *, root: Path | None = None, count_images: CountImages, reporter: Reporter = SILENT
) -> Record:
    """Download a copy from an address that a person gives, and register it, with however many images it has.

    Raises:
        ConfigError: The address is neither http nor https.
        DownloadError: It cannot be downloaded or opened.
    """
    source = source_at(url, row.name)
    folder = _dataset_folder(row, root)
    with exclusive(folder, row.name, reporter):
        folder /= "copy-" + hashlib.sha256(url.encode()).hexdigest()[:8]  # so that two addresses never mix
        try:
            record = _Job(row, folder, count_images, reporter).run(source, url)
        except DownloadError as error:
            if not any(part.stat().st_size for part in folder.rglob("*.part")):  # nothing to continue
                _discard(folder / "partial", source)
                with suppress(OSError):
                    folder.rmdir()
            raise DownloadError(f"{row.name}: {error}") from None
    _compare_checksum(row, folder / source.opens, reporter)
    return record


def describe_count(num_images: int, row: Publication) -> str:
    """Return the number of images of a copy, compared with the published number."""
    if num_images == row.num_images:
        return f"{counted(num_images, 'image')}, as published"
    if num_images < row.num_images:
        return f"{num_images:,} of {counted(row.num_images, 'image')}"
    return f"{counted(num_images, 'image')} where {row.num_images:,} are published"


def exclusive(folder: Path, name: str, reporter: Reporter) -> AbstractContextManager[None]:
    """Lock a folder, so that only one process downloads into it; wait while another one does."""
    line = f"{name}: another facegan is fetching it; waiting for that one"
    return exclusive_lock(folder / ".lock", functools.cache(lambda: reporter.info(line)))


@dataclass(frozen=True)
class _Job:
    """One dataset on its way into one folder."""

    row: Publication
    folder: Path
    count_images: CountImages
    reporter: Reporter

    def run(self, source: DownloadSource, title: str) -> Record:
        """Download, verify and open a source's files, give them their final names and register them."""
        path, num_images = self._get(source, source.links())
        _discard(self.folder / "partial", source, *self.row.sources)  # also what other sources left unfinished
        return register(self.row.name, path, num_images=num_images, source=title)

    def _get(self, source: DownloadSource, links: Sequence[Link]) -> tuple[Path, int]:
        """Return the path to open, and the number of its images."""
        final, waiting = self.folder / source.folder, self.folder / "partial" / source.key
        if all(link.matches(final / link.name) for link in links if link.needed):
            try:
                return final / source.opens, self._count(final / source.opens)
            except DownloadError as error:
                self.reporter.warning(f"{self.row.name}: {error}; it is fetched again")
        self._fetch_all(source, links, waiting)
        try:
            num_images = self._count(waiting / source.opens)
            for link in links:
                if not link.checksum and link.needed:
                    self._check_members(waiting / link.name)
        except DownloadError:
            _discard(waiting.parent, source)  # the download is complete and useless
            raise
        final.mkdir(parents=True, exist_ok=True)
        for link in sorted(links, key=lambda link: link.needed):  # once the needed ones are there, all are
            if (waiting / link.name).exists():
                put_in_place(waiting / link.name, final / link.name)
        return final / source.opens, num_images

    def _fetch_all(self, source: DownloadSource, links: Sequence[Link], waiting: Path) -> None:
        """Download every file of a source; one that is not needed may fail."""
        sizes = [link.size_bytes or 0 for link in links]
        for number, link in enumerate(links):
            place = f" ({number + 1} of {len(links)})" if len(links) > 1 else ""
            offset, total = (sum(sizes[:number]), sum(sizes)) if all(sizes) else (0, None)
            try:
                reporter = _one_of_several(self.reporter, place, offset, total)
                fetch(link, waiting, patience=source.patience, reporter=reporter)
            except DownloadError as error:
                if link.needed:
                    raise
                self.reporter.warning(
                    f"{self.row.name}: {link.name} is missing ({error}); the images do without it, "
                    "or put it next to them later"
                )

    def _count(self, path: Path) -> int:
        try:
            return self.count_images(path)
        except FaceganError as error:
            raise DownloadError(f"the downloaded file cannot be used ({error})") from None

    def _check_members(self, path: Path) -> None:
        """Check a file without a published checksum by the checksums of its members."""
        known = "it could be opened, and more is not known"
        if zipfile.is_zipfile(path):  # a tar archive is read to its end when it is opened
            try:
                with zipfile.ZipFile(path) as archive:
                    if sum(member.file_size for member in archive.infolist()) > _MAX_RATIO * path.stat().st_size:
                        raise zipfile.BadZipFile(f"it would unpack to more than {_MAX_RATIO} times its size")
                    if bad := archive.testzip():
                        raise zipfile.BadZipFile(f"wrong checksum of {bad!r}")
            except Exception as error:  # on damaged bytes the reader raises a dozen kinds
                raise DownloadError(f"the downloaded file is damaged ({error})") from None
            known = "those of all its members are right"
        self.reporter.info(f"{self.row.name}: no checksum of {path.name} is published; {known}")


def _discard(partial: Path, *sources: DownloadSource) -> None:
    """Remove the unfinished files of sources, each in the folder of its key; folders that hold others' files stay."""
    for folder in dict.fromkeys(partial / source.key for source in sources):
        is_ours = not (partial.is_symlink() or folder.is_symlink())
        for path in folder.iterdir() if is_ours and folder.is_dir() else ():
            if path.is_file() and not path.is_symlink():
                path.unlink()
        with suppress(OSError):
            folder.rmdir()
    with suppress(OSError):
        partial.rmdir()


def _one_of_several(reporter: Reporter, place: str, offset: int, total: int | None) -> Reporter:
    """Return a reporter that adds the bytes of one file to those of the files before it."""

    def transfer(task: str, done: int, size_bytes: int | None) -> None:
        reporter.progress(task + place, offset + done, total or size_bytes, unit="bytes")

    return Callbacks(line=reporter.info, transfer=transfer)


def _compare_checksum(row: Publication, path: Path, reporter: Reporter) -> None:
    """Report whether a file is one of the known ones."""
    size_bytes, what = path.stat().st_size, ""
    for file in row.copies:
        if file.checksum and (path.name == file.name or size_bytes == file.size_bytes):
            kind = file.checksum.partition(":")[0]
            what = kind if file.name == path.name else f"{kind} of {file.name}"
            if digest_of(path, file.checksum) == file.checksum:
                reporter.info(f"{row.name}: {path.name} has the published {what}")
                return
    if what:
        reporter.warning(f"{row.name}: {path.name} does not have the published {what}; it is used as it is")


def _dataset_folder(row: Publication, root: Path | None) -> Path:
    folder = (root.resolve() if root else recall(row.name).root or DATASETS.path) / row.name
    folder.mkdir(parents=True, exist_ok=True)
    if root is not None:  # remember a folder only once it could be made
        remember(row.name, root=root.resolve())
    return folder
