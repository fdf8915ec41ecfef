"""The images in a tar archive."""

import bz2
import gzip
import lzma
import math
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, Any, Self

from ...errors import DataError
from ..source import MAX_RATIO, Delivered, is_image_name, shown, too_large
from .annotations import is_annotation
from .kinds import sniff_file_type
from .members import ArchiveSource

_FREE_BYTES = 2**30  # archives up to this size may expand as they like
_MAX_NOTE_BYTES = 2**20  # long names and extended headers, which tarfile reads into memory whole
_NOTES = (b"x", b"g", b"X", b"L", b"K")


class TarSource(ArchiveSource):
    """The images in a .tar, plain or compressed as a whole, read from beginning to end each time."""

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each image's bytes in the order in which they lie in the file, in one pass.

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
        most_bytes = self._most_bytes()
        with self._opened() as stream:
            for count, (archive, member) in enumerate(_members(stream), start=1):
                self._check_count(count)
                if archive.offset > most_bytes:  # where the next header would lie
                    raise self._expands(most_bytes)
                name = self._inside(member.name)
                if member.issym() or member.islnk():
                    raise self._unsafe(member.name, "a link")
                if not (member.isreg() or member.isdir()):
                    raise self._unsafe(member.name, "a device or pipe")
                if member.isreg() and is_image_name(name):
                    self._offsets[name] = member.offset_data  # of two with one name, the later, as in unpacking
                elif member.isreg():
                    # Read while it passes by, as a tar can only be read from its beginning.
                    said = (too_large(member.size) or _content(archive, member)) if is_annotation(name) else b""
                    self._keep(name, partial(self._annotation, name, said))
            while stream.read(2**20):  # to the end, where gzip and xz keep their checksums
                if stream.tell() > most_bytes:
                    raise self._expands(most_bytes)
        return list(self._offsets)

    def _annotation(self, name: str, said: Delivered) -> bytes:
        if isinstance(said, bytes):
            return said
        raise DataError(f"{self._where}/{shown(name)}: {said}")

    def _most_bytes(self) -> float:
        """What the archive may expand to."""
        return max(_FREE_BYTES, MAX_RATIO * self._path.stat().st_size) if self._opener() is not open else math.inf

    def _expands(self, most_bytes: float) -> DataError:
        return DataError(
            f"{self._where}: unsafe archive, nothing of it is used (it expands more than {MAX_RATIO} times, "
            f"to more than {most_bytes / 2**30:.0f} GiB); get it from its publisher"
        )

    def _opened(self) -> IO[bytes]:
        stream: IO[bytes] = self._opener()(self._path, "rb")
        return stream

    def _opener(self) -> Any:
        with self._path.open("rb") as file:
            kind = sniff_file_type(file.read(512))
        return {"a gzip file": gzip.open, "a bzip2 file": bz2.open, "an xz file": lzma.open}.get(kind, open)


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
        if member.type in _NOTES and member.size > _MAX_NOTE_BYTES:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member

    def _proc_sparse(self, _: tarfile.TarFile) -> Self:
        raise tarfile.ReadError("a file with holes")  # whose list of holes tarfile would read without end

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise tarfile.ReadError("a file with holes")


def _members(stream: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(fileobj=stream, mode="r:", tarinfo=_Member) as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # which otherwise grow with the archive
            yield archive, member


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Delivered:
    file = archive.extractfile(member)
    return DataError("not a plain file") if file is None else file.read()
