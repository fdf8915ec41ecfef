"""Which kind of archive a file is."""

import tarfile
from pathlib import Path

from ...errors import DataError
from .kinds import sniff_file_type
from .tars import TarSource
from .zips import ZipSource

FORMS = "give a folder of images, a .zip, .tar, .tgz or .parquet"
_ENDINGS = {".zip": "a zip archive", ".parquet": "a parquet file"} | dict.fromkeys(
    (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"), "a tar archive"
)


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
            raise DataError(f"{where}: neither a folder nor a file; {FORMS}")
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from None
    kind = sniff_file_type(head)
    if kind == "a zip archive":
        return ZipSource(path, crop=crop, where=where)
    if kind in ("a tar archive", "a gzip file", "a bzip2 file", "an xz file") or _is_old_tar(head):
        return TarSource(path, crop=crop, where=where)
    promised = next((article for ending, article in _ENDINGS.items() if path.name.lower().endswith(ending)), None)
    if promised:
        raise DataError(f"{where}: not {promised} (it begins like {kind}); download it again")
    raise DataError(f"{where}: not a kind of file that images are read from (it begins like {kind}); {FORMS}")


def _is_old_tar(head: bytes) -> bool:
    """Whether a file begins with a tar header from before headers were marked as such."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True
