"""The images in a zip archive."""

import os
import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO

from ...errors import DataError
from ..source import MAX_RATIO, Delivered, is_image_name, shown, too_large
from .members import ArchiveSource

_FREE_BYTES = 8 * 2**20  # members up to this size may expand as they like
_LOCAL_HEADER_BYTES = 30
_DIRECTORY_ENTRY_BYTES = 46
_END_BYTES = 22
_LOCATOR_BYTES, _LARGE_END_BYTES = 20, 56


class ZipSource(ArchiveSource):
    """The images in a .zip."""

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Delivered]]:  # noqa: ARG002
        """Yield each image's bytes in the order in which they lie in the file.

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
        if refusal := too_large(member.file_size) or _expands_too_far(member):
            return refusal
        if member.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):  # nothing bounds how far those expand
            return DataError("compressed in a way that is not read (neither stored nor deflated)")
        try:
            with archive.open(member) as file:  # what lies about its size is not unpacked further; checks the CRC
                return file.read(member.file_size + 1)
        except Exception as error:
            return DataError(f"damaged in the archive ({shown(' '.join(str(error).split()))[:100]})")

    def _list(self) -> Sequence[str]:
        self._members: dict[str, zipfile.ZipInfo] = {}
        with self._path.open("rb") as file:
            directory_bytes = _directory_bytes(file)
        self._check_count(directory_bytes // _DIRECTORY_ENTRY_BYTES)
        with zipfile.ZipFile(self._path) as archive:
            for member in archive.infolist():
                name = self._inside(member.filename)
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind == stat.S_IFLNK:
                    raise self._unsafe(member.filename, "a link")
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise self._unsafe(member.filename, "a device or pipe")
                if member.is_dir():
                    continue
                if not is_image_name(name):
                    self._keep(name, partial(self._annotation, member))
                    continue
                if member.flag_bits & 1:
                    raise DataError(
                        f"{self._where}: '{shown(name)}' is encrypted; "
                        "unpack the archive with its password and give the folder"
                    )
                self._members[name] = member  # of two with one name, the later, as in unpacking
            self._check_overlaps(archive)
        return list(self._members)

    def _check_overlaps(self, archive: zipfile.ZipFile) -> None:
        """Refuse members that share bytes: so a small file expands to any number of large ones (Fifield 2019)."""
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        if not members:
            return
        ends = [member.header_offset for member in members[1:]] + [archive.start_dir]
        for member, end in zip(members, ends, strict=True):
            name_bytes = len(member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437", "replace"))
            if member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + member.compress_size > end:
                raise self._unsafe(member.filename, "a member that overlaps another")

    def _annotation(self, member: zipfile.ZipInfo) -> bytes:
        with zipfile.ZipFile(self._path) as archive:
            content = self._content(archive, member)
        if isinstance(content, bytes):
            return content
        raise DataError(f"{self._where}/{shown(member.filename)}: {content}")


def _expands_too_far(member: zipfile.ZipInfo) -> DataError | None:
    """The refusal of a member that claims to be far larger than an image that was compressed could be."""
    if member.file_size <= _FREE_BYTES or member.file_size <= MAX_RATIO * member.compress_size:
        return None
    ratio = member.file_size // max(1, member.compress_size)
    return DataError(f"the file claims to expand {ratio:,} times in the archive (the limit is {MAX_RATIO} times)")


def _directory_bytes(file: IO[bytes]) -> int:
    """How long a zip's list of members claims to be, which zipfile reads into memory whole; 0 where none is found.

    Looks where zipfile looks: PKWARE's APPNOTE, sections 4.3.14 to 4.3.16.
    """
    file.seek(max(0, file.seek(0, os.SEEK_END) - 2**17))  # a remark of up to 64 KiB may follow
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
