"""Images in zip and tar archives, read in place and never unpacked.

An archive is untrusted: every member is checked before any is used.
"""

import os
import posixpath
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from ..errors import DataError
from ..images.decode import READING, sniff_file_type, too_large
from ..messages import one_line
from .annotations import AnnotationFile, Annotations, is_annotation, next_to
from .rules import IN_RUN, RUN_FILES, Sorter, no_images
from .source import HEAD_BYTES, MAX_NAMES, MAX_RATIO, Delivered, fingerprint_of, screened, shown

FORMS = "a folder of images, a .zip, .tar, .tgz or .parquet"
_TAR_MODES: dict[str, Any] = {"a gzip file": "r:gz", "a bzip2 file": "r:bz2", "an xz file": "r:xz"}
_TAR_FREE_BYTES = 2**30  # archives up to this size may expand by any ratio
_MAX_EXTENSION_BYTES = 2**20  # long names and extended headers, which tarfile reads into memory at once
_EXTENSIONS = (b"x", b"g", b"X", b"L", b"K")
_Kind = Literal["file", "folder", "link", "device"]


class _Member(NamedTuple):
    path: str
    kind: _Kind
    place: Any  # where its content is
    read: Callable[[], Delivered]
    head: Callable[[], bytes]  # returns its first bytes while the members are listed
    target: str = ""  # the path that a link leads to


class ArchiveSource:
    """The images in an archive, under their paths there."""

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None, reading: int = READING) -> None:
        """List the members and check every one of them; takes the arguments of `open_path`."""
        self.crop = crop
        self._path = path
        self._where = where or str(path)
        self._reading = reading
        self._sorter = Sorter(reading, in_archive=True)
        self.passed_over = self._sorter.left_out
        self._files: set[str] = set()  # the names of all
        self._links: list[tuple[str, str]] = []  # names and targets
        self._places: dict[str, Any] = {}  # of the images in the archive, by name
        self._inner_files: dict[str, AnnotationFile] = {}  # by file name
        try:
            status = path.stat()
            self._stamp = os.fsencode(path.resolve()) + b" %d %d" % (status.st_size, status.st_mtime_ns)
            for count, member in enumerate(self._members(), start=1):
                self._check_count(count)
                self._add(member)
            self._check_links()
            if reading > 1:
                self._leave_out_runs()
        except Exception as error:
            raise self._damaged(error) from None
        if not self._places:
            raise no_images(self._where, self.passed_over)
        self.names: Sequence[str] = sorted(self._places)
        self._annotations = Annotations([*self._inner_files.values(), *next_to(path)], self.names, reading)
        self.notes = self._annotations.notes

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the attributes from annotation files in the archive, or next to it."""
        return self._annotations.columns(names)

    def fingerprint(self, names: Sequence[str]) -> str:
        """Hash the archive's path, size and modification time, the files next to it, and the names."""
        return fingerprint_of(self._stamp + self._annotations.stamp, names)

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each image's bytes in the order in which they are stored."""
        try:
            for name, content in self._contents(names):
                yield name, screened(content, self._reading)
        except Exception as error:
            raise self._damaged(error) from None

    def _members(self) -> Iterator[_Member]:
        raise NotImplementedError

    def _contents(self, names: Sequence[str]) -> Iterator[tuple[str, Delivered]]:
        raise NotImplementedError

    def _add(self, member: _Member) -> None:
        """Note the place of an image, the outermost annotation file of each name, or count another file."""
        path = member.path.replace("\\", "/")
        parts = path.split("/")
        if re.match("/|[A-Za-z]:", path) or ".." in parts:
            raise self._unsafe(f"'{shown(member.path)}' leaves the archive")
        name = "/".join(part for part in parts if part not in ("", "."))
        if member.kind == "device":
            raise self._unsafe(f"'{shown(member.path)}' is a device")
        if member.kind == "link":
            self._links.append((member.path, posixpath.normpath(member.target.replace("\\", "/"))))
        elif member.kind == "file":
            self._files.add(name)
            folder, slash, base = name.rpartition("/")
            if is_annotation(base) and not self._sorter.reason_around(folder):
                known = self._inner_files.get(base)
                if known is None or folder.count("/") < known.prefix.count("/"):
                    where = f"{self._where}/{shown(name)}"
                    self._inner_files[base] = AnnotationFile(base, where, member.read, prefix=folder + slash)
            elif self._sorter.is_image(name, member.head):
                self._places[name] = member.place  # of two with one name the later wins, as in unpacking

    def _check_links(self) -> None:
        """Count the links to other members and their folders, which are read there; raises DataError for any other."""
        for member, target in self._links:
            if target not in self._files and not any(name.startswith(f"{target}/") for name in self._files):
                raise self._unsafe(f"'{shown(member)}' is a link to a file that is not in it")
            self.passed_over["linked to another member"] += 1

    def _leave_out_runs(self) -> None:
        """Leave out the images of runs of facegan inside the archive."""
        folders = [name.removesuffix("environment.json") for name in self._files if name.endswith("/environment.json")]
        runs = tuple(folder for folder in folders if all(folder + name in self._files for name in RUN_FILES))
        for name in [name for name in self._places if name.startswith(runs)]:
            del self._places[name]
            self.passed_over[IN_RUN] += 1

    def _check_count(self, num_members: int) -> None:
        if num_members > MAX_NAMES:
            raise self._unsafe(f"it has more than {MAX_NAMES:,} members")

    def _unsafe(self, what: str) -> DataError:
        return DataError(
            f"{self._where}: unsafe archive, nothing of it is used ({what}); "
            "get it from its publisher, or unpack it yourself and give the folder"
        )

    def _damaged(self, error: Exception) -> DataError:
        """Return the error for one of the dozen kinds that the readers raise on damaged bytes."""
        if isinstance(error, DataError):
            return error
        why = one_line(error, 100)
        return DataError(f"{self._where}: the archive is damaged or cut short ({why}); download it again")


class ZipSource(ArchiveSource):
    """The images in a .zip."""

    def _members(self) -> Iterator[_Member]:
        with zipfile.ZipFile(self._path) as archive:
            for member in archive.infolist():
                mode = stat.S_IFMT(member.external_attr >> 16)
                head, read = partial(_read_zip_head, archive, member), partial(self._read_one, member)
                if mode == stat.S_IFLNK:
                    target = posixpath.join(posixpath.dirname(member.filename), os.fsdecode(head()))
                    yield _Member(member.filename, "link", member, read, head, target)
                elif mode in (0, stat.S_IFREG, stat.S_IFDIR):
                    kind: _Kind = "folder" if member.filename.endswith(("/", "\\")) else "file"
                    yield _Member(member.filename, kind, member, read, head)
                else:
                    yield _Member(member.filename, "device", member, read, head)

    def _contents(self, names: Sequence[str]) -> Iterator[tuple[str, Delivered]]:
        with zipfile.ZipFile(self._path) as archive:
            for name in sorted(names, key=lambda name: self._places[name].header_offset):
                yield name, _read_zip_member(archive, self._places[name])

    def _read_one(self, member: zipfile.ZipInfo) -> Delivered:
        with zipfile.ZipFile(self._path) as archive:
            return _read_zip_member(archive, member)


class TarSource(ArchiveSource):
    """The images in a .tar, plain or compressed, read from beginning to end each time."""

    def _members(self) -> Iterator[_Member]:
        for archive, member in self._read_headers():
            content: Delivered = b""
            if member.isreg() and is_annotation(member.name.replace("\\", "/")):
                content = _read_tar_member(archive, member)  # now, because a tar can only be read from its beginning
            kind: _Kind = "folder" if member.isdir() else "file" if member.isreg() else "device"
            target = ""
            if member.issym() or member.islnk():  # a hard link is relative to the archive
                kind, folder = "link", posixpath.dirname(member.name) if member.issym() else ""
                target = posixpath.join(folder, member.linkname)
            head, read = partial(_read_tar_head, archive, member), partial(lambda content: content, content)
            yield _Member(member.name, kind, member.offset_data, read, head, target)

    def _contents(self, names: Sequence[str]) -> Iterator[tuple[str, Delivered]]:
        wanted = {self._places[name]: name for name in names}
        for archive, member in self._read_headers():
            if name := wanted.pop(member.offset_data, None):
                yield name, _read_tar_member(archive, member)
            if not wanted:
                return

    def _read_headers(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        with self._path.open("rb") as file:
            mode = _TAR_MODES.get(sniff_file_type(file.read(512)), "r:")
        limit = max(_TAR_FREE_BYTES, MAX_RATIO * self._path.stat().st_size)
        with tarfile.open(self._path, mode, tarinfo=_StrictMember) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # which otherwise grow with the archive
                if archive.offset > limit:  # where the next header would begin
                    raise self._unsafe(f"it expands more than {MAX_RATIO} times, to more than {limit / 2**30:.0f} GiB")
                yield archive, member
            # To the end, where gzip and xz keep their checksums.
            while archive.fileobj.read(2**20) and archive.fileobj.tell() < limit:
                pass


def open_archive(path: Path, *, crop: str = "auto", where: str | None = None, reading: int = READING) -> ArchiveSource:
    """Open a file as the kind of archive that its content indicates; takes the arguments of `open_path`."""
    where = where or str(path)
    if not path.is_file():
        raise DataError(f"{where}: neither a folder nor a file; give {FORMS}")
    try:
        with path.open("rb") as file:
            kind = sniff_file_type(file.read(512))
        if kind == "a zip archive":
            return ZipSource(path, crop=crop, where=where, reading=reading)
        if kind == "a tar archive" or kind in _TAR_MODES or tarfile.is_tarfile(path):
            return TarSource(path, crop=crop, where=where, reading=reading)
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from None
    raise DataError(
        f"{where}: not a zip, tar or parquet file (it begins like {kind}); download it again, or give {FORMS}"
    )


def _read_zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Delivered:
    if refusal := too_large(member.file_size):
        return refusal
    if member.flag_bits & 1:
        return DataError("encrypted; unpack the archive with its password and give the folder")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # nothing bounds how far others expand
        return DataError("compressed in a way that is not read (neither stored nor deflated)")
    try:
        with archive.open(member) as file:  # never reads past the claimed size; checks the CRC
            return file.read(member.file_size + 1)
    except Exception as error:
        return DataError(f"cannot be read from the archive ({one_line(error, 100)})")


def _read_zip_head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return b""
    try:
        with archive.open(member) as file:
            return file.read(HEAD_BYTES)
    except Exception as error:
        raise OSError(f"damaged: {one_line(error, 100)}") from None


class _StrictMember(tarfile.TarInfo):
    """A tar header, stricter than tarfile's own: an archive that stops before its end marker is damaged."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:  # tarfile would silently treat the rest as the end
            raise tarfile.ReadError(str(error)) from None

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _EXTENSIONS and member.size > _MAX_EXTENSION_BYTES:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member

    def _refuse_holes(self, *_: object) -> Self:  # tarfile would read the list of holes without a limit
        raise tarfile.ReadError("a file with holes")

    _proc_sparse = _proc_gnusparse_10 = _refuse_holes


def _read_tar_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Delivered:
    return too_large(member.size) or archive.extractfile(member).read()  # type: ignore[union-attr]


def _read_tar_head(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    return archive.extractfile(member).read(HEAD_BYTES)  # type: ignore[union-attr]
