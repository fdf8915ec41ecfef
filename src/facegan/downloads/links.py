"""A file at an address, what is known of it, and how patiently its server is tried."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ..errors import DownloadError

SAFE_NAME = re.compile(r"[^./\\:][^/\\:]*")

Say = Callable[[str], None]
Progress = Callable[[str, int, int | None], None]  # a file's name, the bytes that are here, and all or None


class Patience(BaseModel):
    """How often and how long a server is tried.

    Attributes:
        attempts: Tries in a row that bring nothing new before it is given up.
        delay_seconds: The pause after the first of them; each later one is twice as long.
        longest_delay_seconds: No pause is longer; a server that asks for a longer one is given up.
        timeout_seconds: How long silence is waited out.
        slowest_bytes_per_second: A connection that is slower over `window_seconds` is dropped, and counts as nothing.
        window_seconds: See there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(4, ge=1)
    delay_seconds: float = Field(1.0, ge=0)
    longest_delay_seconds: float = Field(120.0, ge=0)
    timeout_seconds: float = Field(30.0, gt=0)
    slowest_bytes_per_second: float = Field(1000.0, ge=0)
    window_seconds: float = Field(60.0, gt=0)


@dataclass(frozen=True)
class Link:
    """A file at an address.

    Attributes:
        name: Its name once it is here.
        url: An http or https address.
        checksum: `md5:...` or `sha256:...`; empty: none is known.
        size_bytes: Its exact size; None: not known.
        needed: Whether the dataset is of no use without it.
        headers: What the server wants to be told.
        past_page: Finds the file's address in a web page that stands in its place, or raises DownloadError.
    """

    name: str
    url: str
    checksum: str = ""
    size_bytes: int | None = None
    needed: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    past_page: Callable[[str], str] | None = None

    def __post_init__(self) -> None:
        """Refuse a name that is none, since a server may have chosen it.

        Raises:
            DownloadError: It would be hidden, or lie in another folder.
        """
        if not SAFE_NAME.fullmatch(self.name) or not self.name.isprintable():
            raise DownloadError(f"{self.name!r} is not a name that a file is given here")


def matches(path: Path, checksum: str, size_bytes: int | None) -> bool:
    """Whether a file stands at `path` that has this checksum and size, as far as they are known."""
    if not path.is_file() or (size_bytes is not None and path.stat().st_size != size_bytes):
        return False
    return not checksum or digest_of(path, checksum) == checksum


def digest_of(path: Path, like: str) -> str:
    """The checksum of a file, of the kind of another one: `md5:...` or `sha256:...`."""
    kind = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()}"
