"""Files at plain web addresses."""

import re
import urllib.parse
from pathlib import PurePosixPath

from .links import Link
from .publication import File, Source


class WebSource(Source):
    """Files at http or https addresses.

    Attributes:
        host: What messages call the place.
        files: The files with their addresses.
    """

    host: str
    files: tuple[File, ...]

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.host

    def links(self) -> list[Link]:
        """The files as they stand in the row; asks nobody."""
        return [
            Link(file.name, file.at, checksum=file.checksum, size_bytes=file.size_bytes, needed=file.needed)
            for file in self.files
        ]


def name_in(url: str, otherwise: str) -> str:
    """The file name at the end of an address, made safe for any file system, or another when there is none."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    name = re.sub(r"[^\w.\-]+", "-", PurePosixPath(path).name).strip(".-")
    return name if PurePosixPath(name).suffix else otherwise
