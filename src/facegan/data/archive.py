"""Images in zip and tar archives, read in place and never unpacked.

An archive is untrusted: every member is checked before any is used.
"""

import bz2
import gzip
import lzma
import math
import os
import re
import stat
import struct
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from ..errors import DataError
from ..images.decode import sniff_file_type, too_large
from ..messages import one_line
from .annotations import AnnotationFile, Annotations, is_annotation, next_to
from .source import (
    MAX_NAMES,
    MAX_RATIO,
    Delivered,
    fingerprint_of,
    is_image_name,
    no_images,
    shown,
    unsupported_suffix,
)

_FORMS = "give a folder of images, a .zip, .tar, .tgz or .parquet"
_SUFFIXES = {".zip": "a zip archive", ".parquet": "a parquet file"} | dict.fromkeys(
    (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"), "a tar archive"
)
_OPENERS: dict[str, Any] = {"a gzip file": gzip.open, "a bzip2 file": bz2.open, "an xz file": lzma.open}

_ZIP_FREE_BYTES = 8 * 2**20  # members up to this size may expand by any ratio
_LOCAL_HEADER_BYTES, _DIRECTORY_ENTRY_BYTES, _END_BYTES = 30, 46, 22
_LOCATOR_BYTES, _LARGE_END_BYTES = 20, 56

_TAR_FREE_BYTES = 2**30  # archives up to this size may expand by any ratio
_MAX_EXTENSION_BYTES = 2**20  # long names and extended headers, which tarfile reads into memory at once
_EXTENSIONS = (b"x", b"g", b"X", b"L", b"K")

# A member's path, its type as in `stat`, where its content is, and how to read it.
_Content = bytes | DataError
_Member = tuple[str, int, Any, Callable[[], _Content]]


class ArchiveSource:
    """The images in an archive.

    Attributes:
        names: The images' paths in the archive, sorted.
        crop: What crop="auto" means here.
        passed_over: The number of images in unsupported formats, by suffix.
    """

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None) -> None:
        """List the members and check every one of them; takes the arguments of `open_path`.

        Raises:
            DataError: It is damaged, truncated, encrypted or unsafe, or holds no image.
        """
        self.crop = crop
        self._path = path
        self._where = where or str(path)
        self.passed_over: Counter[str] = Counter()
        self._places: dict[str, Any] = {}  # of the images in the archive, by name
        self._inner_files: dict[str, AnnotationFile] = {}  # by file name
        try:
            self._stamp = path.resolve(), path.stat().st_size, path.stat().st_mtime_ns
            self._list()
        except DataError:
            raise
        except Exception as error:  # on damaged bytes the readers raise a dozen kinds
            raise self._damaged(error) from None
        if not self._places:
            raise no_images(self._where, self.passed_over)
        self.names: Sequence[str] = sorted(self._places)
        self._annotations = Annotations([*self._inner_files.values(), *next_to(path)], self.names)

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the attributes from annotation files in the archive, or next to it.

        Raises:
            DataError: Such a file is malformed; its line is named.
        """
        return self._annotations.columns(names)

    def fingerprint(self, names: Sequence[str]) -> str:
        """Hash the archive's path, size and modification time, the files next to it, and the names."""
        path, size_bytes, modified = self._stamp
        return fingerprint_of(os.fsencode(path) + b" %d %d" % (size_bytes, modified) + self._annotations.stamp, names)

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each image's bytes in the order in which they are stored.

        Raises:
            DataError: The archive has been damaged since it was listed.
        """
        try:
            yield from self._contents(names)
        except Exception as error:
            raise self._damaged(error) from None

    def _list(self) -> None:
        """Check every member, and keep the place of each image."""
        for count, (path, kind, place, read) in enumerate(self._members(), start=1):
            self._check_count(count)
            name = self._safe_path(path, kind)
            if kind == stat.S_IFDIR or path.endswith("/"):
                continue
            if is_image_name(name):
                self._places[name] = place  # of two with one name the later wins, as in unpacking
            else:
                self._note_other(name, read)

    def _members(self) -> Iterator[_Member]:
        raise NotImplementedError

    def _contents(self, names: Sequence[str]) -> Iterator[tuple[str, Delivered]]:
        raise NotImplementedError

    def _safe_path(self, member: str, kind: int) -> str:
        """Return a member's path with '/' and without '.', or raise if it is unsafe to unpack."""
        path = member.replace("\\", "/")
        parts = path.split("/")
        for is_unsafe, what in (
            (path.startswith("/"), "an absolute path"),
            (re.match(r"[A-Za-z]:", path), "a path with a drive letter"),
            (".." in parts, "a path that leaves the archive"),
            (kind == stat.S_IFLNK, "a link"),
            (kind not in (0, stat.S_IFREG, stat.S_IFDIR), "a device or pipe"),
        ):
            if is_unsafe:
                raise self._unsafe(f"'{shown(member)}' is {what}")
        return "/".join(part for part in parts if part not in ("", "."))

    def _note_other(self, name: str, read: Callable[[], _Content]) -> None:
        """Keep a member that is no image if it is the outermost annotation file of its name; else count its suffix."""
        folder, slash, base = name.rpartition("/")
        if is_annotation(base):
            where = f"{self._where}/{shown(name)}"
            file = AnnotationFile(base, where, read, prefix=folder + slash)
            known = self._inner_files.setdefault(base, file)
            if folder.count("/") < known.prefix.count("/"):
                self._inner_files[base] = file
        elif suffix := unsupported_suffix(name):
            self.passed_over[suffix] += 1

    def _check_count(self, num_members: int) -> None:
        if num_members > MAX_NAMES:
            raise self._unsafe(f"it has more than {MAX_NAMES:,} members", "unpack it yourself and give the folder")

    def _unsafe(
        self, what: str, advice: str = "get it from its publisher, or unpack it yourself and give the folder"
    ) -> DataError:
        return DataError(f"{self._where}: unsafe archive, nothing of it is used ({what}); {advice}")

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self._where}: the archive is damaged or cut short ({one_line(error, 100)}); download it again"
        )


class ZipSource(ArchiveSource):
    """The images in a .zip."""

    def _members(self) -> Iterator[_Member]:
        with self._path.open("rb") as file:
            self._check_count(_directory_bytes(file) // _DIRECTORY_ENTRY_BYTES)
        with zipfile.ZipFile(self._path) as archive:
            for member in archive.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                yield member.filename, kind, member, partial(self._read_one, member)
            self._check_overlaps(archive)
        for name, member in self._places.items():
            if member.flag_bits & 1:
                raise DataError(
                    f"{self._where}: '{shown(name)}' is encrypted; "
                    "unpack the archive with its password and give the folder"
                )

    def _contents(self, names: Sequence[str]) -> Iterator[tuple[str, Delivered]]:
        with zipfile.ZipFile(self._path) as archive:
            for name in sorted(names, key=lambda name: self._places[name].header_offset):
                yield name, _zip_content(archive, self._places[name])

    def _check_overlaps(self, archive: zipfile.ZipFile) -> None:
        """Refuse members that share bytes, with which a small file expands to many large ones (Fifield 2019)."""
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        ends = [member.header_offset for member in members[1:]] + [archive.start_dir]
        for member, end in zip(members, ends, strict=False):
            name_bytes = len(member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437", "replace"))
            if member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + member.compress_size > end:
                raise self._unsafe(f"'{shown(member.filename)}' is a member that overlaps another")

    def _read_one(self, member: zipfile.ZipInfo) -> _Content:
        with zipfile.ZipFile(self._path) as archive:
            return _zip_content(archive, member)


class TarSource(ArchiveSource):
    """The images in a .tar, plain or compressed, read from beginning to end each time."""

    def _members(self) -> Iterator[_Member]:
        is_compressed = self._opener() is not open
        limit = max(_TAR_FREE_BYTES, MAX_RATIO * self._path.stat().st_size) if is_compressed else math.inf
        with self._open() as stream:
            for archive, member in _tar_members(stream):
                self._check_expansion(archive.offset, limit)  # where the next header would begin
                # Annotations are read now, because a tar can only be read from its beginning.
                is_read = member.isreg() and is_annotation(member.name.replace("\\", "/"))
                content = _tar_content(archive, member) if is_read else b""
                yield member.name, _tar_kind(member), member.offset_data, partial(lambda content: content, content)
            while stream.read(2**20):  # to the end, where gzip and xz keep their checksums
                self._check_expansion(stream.tell(), limit)

    def _contents(self, names: Sequence[str]) -> Iterator[tuple[str, Delivered]]:
        wanted = {self._places[name]: name for name in names}
        with self._open() as stream:
            for archive, member in _tar_members(stream):
                if name := wanted.pop(member.offset_data, None):
                    yield name, _tar_content(archive, member)
                if not wanted:
                    return

    def _check_expansion(self, num_bytes: int, limit: float) -> None:
        if num_bytes > limit:
            what = f"it expands more than {MAX_RATIO} times, to more than {limit / 2**30:.0f} GiB"
            raise self._unsafe(what, "get it from its publisher")

    def _open(self) -> IO[bytes]:
        stream: IO[bytes] = self._opener()(self._path, "rb")
        return stream

    def _opener(self) -> Any:
        with self._path.open("rb") as file:
            return _OPENERS.get(sniff_file_type(file.read(512)), open)


def open_archive(path: Path, *, crop: str = "auto", where: str | None = None) -> ArchiveSource:
    """Open a file as the kind of archive that its content, not its name, indicates; takes the arguments of `open_path`.

    Raises:
        DataError: It is no archive, or is damaged, encrypted, unsafe or empty.
    """
    where = where or str(path)
    try:
        if not path.is_file():
            raise DataError(f"{where}: neither a folder nor a file; {_FORMS}")
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from None
    kind = sniff_file_type(head)
    if kind == "a zip archive":
        return ZipSource(path, crop=crop, where=where)
    if kind == "a tar archive" or kind in _OPENERS or _is_old_tar(head):
        return TarSource(path, crop=crop, where=where)
    expected = next((words for suffix, words in _SUFFIXES.items() if path.name.lower().endswith(suffix)), None)
    if expected:
        raise DataError(f"{where}: not {expected} (it begins like {kind}); download it again")
    raise DataError(f"{where}: not a kind of file that images are read from (it begins like {kind}); {_FORMS}")


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Content:
    if refusal := too_large(member.file_size):
        return refusal
    if member.file_size > max(_ZIP_FREE_BYTES, MAX_RATIO * member.compress_size):
        ratio = member.file_size // max(1, member.compress_size)
        return DataError(f"the file claims to expand {ratio:,} times in the archive (the limit is {MAX_RATIO} times)")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # nothing bounds how far others expand
        return DataError("compressed in a way that is not read (neither stored nor deflated)")
    try:
        with archive.open(member) as file:  # never reads past the claimed size; checks the CRC
            return file.read(member.file_size + 1)
    except Exception as error:
        return DataError(f"damaged in the archive ({one_line(error, 100)})")


def _directory_bytes(file: IO[bytes]) -> int:
    """Return the claimed length of a zip's central directory, which zipfile reads into memory at once; 0 if not found.

    Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.14 to 4.3.16.
    """
    file.seek(max(0, file.seek(0, os.SEEK_END) - 2**17))  # a comment of up to 64 KiB may follow
    tail = file.read()
    end = len(tail) - _END_BYTES
    if not (tail[end:].startswith(b"PK\x05\x06") and tail.endswith(b"\0\0")):
        end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + _END_BYTES > len(tail):
        return 0
    (claimed,) = struct.unpack_from("<I", tail, end + 12)
    large = end - _LOCATOR_BYTES - _LARGE_END_BYTES  # a second record, for archives above 4 GiB
    if large >= 0 and tail[large:].startswith(b"PK\x06\x06"):
        (claimed,) = struct.unpack_from("<Q", tail, large + 40)
    return int(claimed)


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

    def _proc_sparse(self, _: tarfile.TarFile) -> Self:
        raise tarfile.ReadError("a file with holes")  # tarfile would read its list of holes without a limit

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise tarfile.ReadError("a file with holes")


def _tar_members(stream: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(fileobj=stream, mode="r:", tarinfo=_StrictMember) as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # which otherwise grow with the archive
            yield archive, member


def _tar_kind(member: tarfile.TarInfo) -> int:
    if member.issym() or member.islnk():
        return stat.S_IFLNK
    return stat.S_IFREG if member.isreg() else stat.S_IFDIR if member.isdir() else stat.S_IFIFO


def _tar_content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> _Content:
    if refusal := too_large(member.size):
        return refusal
    file = archive.extractfile(member)
    return DataError("not a plain file") if file is None else file.read()


def _is_old_tar(head: bytes) -> bool:
    """Return whether a file begins with a tar header from before 1988, which has no magic number."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True
