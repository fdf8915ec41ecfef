"""Files on disk: written completely under their final names or not at all, and read without following links."""

import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}(?P<suffix>\.\w+)?")
_OF_SAFETENSORS = re.compile(
    r"\.tmp\w{6}"
)  # its own temporary file, which it renames to ours; others' are named so too
_HEADER_BYTES = 2**20  # more than the metadata of our safetensors files takes


def write_atomic(path: Path, content: bytes | Callable[[Path], None], *, durable: bool = True) -> None:
    """Write a file completely or not at all: temporary file next to it, fsync, rename, fsync of the folder.

    Args:
        path: The final name; its folder exists, and an existing file stays unchanged when OSError is raised.
        content: The bytes, or a function that writes the file at the path it is given.
        durable: False skips both fsync: after a kill the file is complete or missing, after a power cut it may be
            empty. For many small files that can be made again.
    """
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777  # as the system gives it to a new file
            if isinstance(content, bytes):
                file.write(content)
        if not isinstance(content, bytes):
            content(temporary)  # may replace the file, which on Windows must not be open
            temporary.chmod(mode)
        if durable:
            put_in_place(temporary, path)
        else:
            temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        _rename_in(error, temporary, path)
        raise


def append_lines(path: Path, lines: bytes, *, durable: bool = False) -> None:
    """Append complete lines, each with its line break, to a file, which need not exist; all or, with OSError, none.

    Nothing is written through a link. A torn line that a killed writer left is ended before them. `durable` also
    flushes them to the disk.
    """
    with open_regular(path, "ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                lines = b"\n" + lines
        try:
            file.write(lines)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):  # flushing the rest of the buffer fails once more
                file.close()
            os.truncate(path, end)
            raise


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder with all its files or not at all: under a temporary name next to it, then renamed.

    Args:
        path: The final name; the folder above it exists, and this one does not or is empty.
        fill: Writes the files into the folder it is given.

    Raises:
        OSError: It could not be written, or `path` is not empty; what exists there is unchanged.
    """
    temporary = _temporary(path)
    try:
        temporary.mkdir()
        fill(temporary)
        with suppress(FileNotFoundError):
            path.rmdir()  # not every system replaces an empty folder; a full one raises
        temporary.rename(path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _rename_in(error, temporary, path)
        raise


def open_regular(path: Path, mode: Literal["rb", "ab", "ab+"] = "rb") -> IO[bytes]:
    """Open a file that somebody else may have put there; never follow a link or block on a pipe.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, which is not followed", str(path))
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # as far as the system has them

    def open_carefully(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | careful, 0o666)
        kind = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # Python itself refuses folders
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return descriptor

    return open(path, mode, opener=open_carefully)


def read_regular(path: Path, most: int) -> bytes:
    """Return the first `most` bytes of a file, or all of a shorter one; raises as `open_regular`."""
    with open_regular(path) as file:
        return file.read(most)


def as_json(document: Any) -> bytes:
    """Return a document as the indented JSON that our files hold."""
    return (json.dumps(document, indent=2) + "\n").encode()


def json_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line, or None for any other line."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a complete temporary file its final name in the same file system: fsync, rename, fsync of the folder."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    if os.name == "posix":  # other systems cannot open a folder to flush it
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def temporary_files(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """Return the files in a folder that killed writers of files with such names left; none through a link."""
    paths = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    return [path for path in paths if is_temporary(path, names)]


def is_temporary(path: Path, names: re.Pattern[str]) -> bool:
    """Return whether a file was not completed, and would have had one of our names."""
    if path.is_symlink() or not path.is_file():
        return False
    if _OF_SAFETENSORS.fullmatch(path.name):
        return path.stat().st_size == 0 or has_our_header(path)
    match = _TEMPORARY.fullmatch(path.name)
    if match is None or match["suffix"] != (Path(match["name"]).suffix or None):
        return False
    return names.fullmatch(match["name"]) is not None


def has_our_header(path: Path) -> bool:
    """Return whether a file, which is no link, begins as our safetensors files do, whatever follows."""
    with suppress(OSError):
        return b'"format":"facegan-' in read_regular(path, _HEADER_BYTES)
    return False


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; links, and what cannot be read, count as 0."""
    with suppress(OSError):
        if not path.is_dir():
            return path.stat().st_size
        with os.scandir(path) as entries:
            return sum(size_of(Path(entry.path)) for entry in entries if not entry.is_symlink())
    return 0


def _temporary(path: Path) -> Path:
    # The start of a long name: with all of it, the temporary name would be longer than the system allows.
    return path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}{path.suffix}")


def _rename_in(error: BaseException, temporary: Path, path: Path) -> None:
    """Let an error name the final path, which people know."""
    if isinstance(error, OSError) and error.filename == str(temporary):
        error.filename = str(path)
