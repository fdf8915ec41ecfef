"""Archives of pictures, read in place and never unpacked.

An archive is taken for hostile: every member is checked before any is used.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self

from ..errors import DataError
from .kinds import begins_like
from .pictures import Delivered, encoded, is_picture, no_pictures, shown, too_large

_FORMS = "give a folder of pictures, a .zip, .tar or .tgz"
_ENDINGS = {".zip": "a zip archive"} | dict.fromkeys(
    (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"), "a tar archive"
)
_MAX_TAR_NOTE_BYTES = 2**20  # long names and extended headers, which tarfile reads into memory whole
_TAR_NOTES = (b"x", b"g", b"X", b"L", b"K")


class ArchiveSource:
    """What zip and tar archives have in common as sources.

    Attributes:
        names: The pictures' paths in the archive, sorted.
        crop: What crop="auto" means here.
    """

    names: Sequence[str]

    def __init__(self, path: Path, *, crop: str = "auto", where: str | None = None) -> None:
        """List the members and check every one of them.

        Args:
            path: The archive.
            crop: What crop="auto" means here.
            where: How messages name the archive; None: by its path.

        Raises:
            DataError: It is damaged, cut short, encrypted or unsafe, or holds no picture.
        """
        self.crop = crop
        self._path = path
        self._where = where or str(path)
        try:
            self._place = path.resolve(), path.stat().st_size, path.stat().st_mtime_ns
            self.names = sorted(self._list())
        except DataError:
            raise
        except Exception as error:  # on damaged bytes the readers raise a dozen kinds
            raise self._damaged(error) from None
        if not self.names:
            raise no_pictures(self._where)

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:  # noqa: ARG002
        """Nothing is known of plain files."""
        return {}

    def fingerprint(self, names: Sequence[str]) -> str:
        """Of the archive's place, size and modification time, and of the names."""
        path, size_bytes, modified = self._place
        digest = hashlib.sha256(os.fsencode(path) + b" %d %d" % (size_bytes, modified))
        for name in names:
            digest.update(b"\n" + encoded(name))
        return digest.hexdigest()

    def _list(self) -> Sequence[str]:
        """The names of the pictures, once every member has been checked."""
        raise NotImplementedError

    def _inside(self, member: str) -> str:
        """A member's path with '/' and without '.', or the refusal of an archive that reaches out of itself."""
        path = member.replace("\\", "/")
        parts = path.split("/")
        if path.startswith("/"):
            raise self._unsafe(member, "an absolute path")
        if re.match(r"[A-Za-z]:", path):
            raise self._unsafe(member, "a path with a drive letter")
        if ".." in parts:
            raise self._unsafe(member, "a path that leaves the archive")
        return "/".join(part for part in parts if part not in ("", "."))

    def _unsafe(self, member: str, what: str) -> DataError:
        return DataError(
            f"{self._where}: unsafe archive, nothing of it is used ('{shown(member)}' is {what}); "
            "get it from its publisher, or unpack it yourself and give the folder"
        )

    def _damaged(self, error: Exception) -> DataError:
        reason = shown(" ".join(str(error).split()))[:100] or type(error).__name__
        return DataError(f"{self._where}: the archive is damaged or cut short ({reason}); download it again")


class ZipSource(ArchiveSource):
    """The pictures in a .zip."""

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each picture's bytes in the order in which they lie in the file.

        Raises:
            DataError: The archive has been damaged since it was listed.
        """
        try:
            archive = zipfile.ZipFile(self._path)
        except Exception as error:
            raise self._damaged(error) from None
        with archive:
            for name in sorted(names, key=lambda name: self._members[name].header_offset):
                yield name, self._content(archive, self._members[name])

    def _content(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Delivered:
        if refusal := too_large(member.file_size):
            return refusal
        try:
            return archive.read(member)  # checks the CRC
        except Exception as error:
            return DataError(f"damaged in the archive ({shown(' '.join(str(error).split()))[:100]})")

    def _list(self) -> Sequence[str]:
        self._members: dict[str, zipfile.ZipInfo] = {}
        with zipfile.ZipFile(self._path) as archive:
            for member in archive.infolist():
                name = self._inside(member.filename)
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind == stat.S_IFLNK:
                    raise self._unsafe(member.filename, "a link")
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise self._unsafe(member.filename, "a device or pipe")
                if member.is_dir() or not is_picture(name):
                    continue
                if member.flag_bits & 1:
                    raise DataError(
                        f"{self._where}: '{shown(name)}' is encrypted; "
                        "unpack the archive with its password and give the folder"
                    )
                self._members[name] = member  # of two with one name, the later, as in unpacking
        return list(self._members)


class TarSource(ArchiveSource):
    """The pictures in a .tar, plain or compressed as a whole, read from beginning to end each time."""

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each picture's bytes in the order in which they lie in the file, in one pass.

        Raises:
            DataError: The archive has been damaged since it was listed.
        """
        wanted = {self._offsets[name]: name for name in names}
        with self._opened() as stream:
            try:
                for archive, member in _members(stream):
                    if name := wanted.pop(member.offset_data, None):
                        yield name, too_large(member.size) or _content(archive, member)
                    if not wanted:
                        return
            except Exception as error:
                raise self._damaged(error) from None

    def _list(self) -> Sequence[str]:
        self._offsets: dict[str, int] = {}
        with self._opened() as stream:
            for _, member in _members(stream):
                name = self._inside(member.name)
                if member.issym() or member.islnk():
                    raise self._unsafe(member.name, "a link")
                if not (member.isreg() or member.isdir()):
                    raise self._unsafe(member.name, "a device or pipe")
                if member.isreg() and is_picture(name):
                    self._offsets[name] = member.offset_data  # of two with one name, the later, as in unpacking
            while stream.read(2**20):  # to the end, where gzip and xz keep their checksums
                pass
        return list(self._offsets)

    def _opened(self) -> IO[bytes]:
        with self._path.open("rb") as file:
            kind = begins_like(file.read(512))
        opener: Any = {"a gzip file": gzip.open, "a bzip2 file": bz2.open, "an xz file": lzma.open}.get(kind, open)
        stream: IO[bytes] = opener(self._path, "rb")
        return stream


class _Member(tarfile.TarInfo):
    """A member's header, stricter than tarfile's own: an archive that stops anywhere but at its end mark is damaged."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:  # tarfile would take the rest for the end, without a word
            raise tarfile.ReadError(str(error)) from None

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _TAR_NOTES and member.size > _MAX_TAR_NOTE_BYTES:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def _members(stream: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(fileobj=stream, mode="r:", tarinfo=_Member) as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # which otherwise grow with the archive
            yield archive, member


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Delivered:
    file = archive.extractfile(member)
    return DataError("not a plain file") if file is None else file.read()


def open_archive(path: Path, *, crop: str = "auto", where: str | None = None) -> ZipSource | TarSource:
    """Open a file as the archive that its content, not its name, says it is.

    Args:
        path: An existing file.
        crop: What crop="auto" means here.
        where: How messages name it; None: by its path.

    Raises:
        DataError: It is no archive, or a damaged, encrypted, unsafe or empty one.
    """
    where = where or str(path)
    try:
        if not path.is_file():
            raise DataError(f"{where}: neither a folder nor a file; {_FORMS}")
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from None
    kind = begins_like(head)
    if kind == "a zip archive":
        return ZipSource(path, crop=crop, where=where)
    if kind in ("a tar archive", "a gzip file", "a bzip2 file", "an xz file") or _is_old_tar(head):
        return TarSource(path, crop=crop, where=where)
    promised = next((article for ending, article in _ENDINGS.items() if path.name.lower().endswith(ending)), None)
    if promised:
        raise DataError(f"{where}: not {promised} (it begins like {kind}); download it again")
    raise DataError(f"{where}: not a kind of file that pictures are read from (it begins like {kind}); {_FORMS}")


def _is_old_tar(head: bytes) -> bool:
    """Whether a file begins with a tar header from before headers were marked as such."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True
