"""A published dataset as a row of a table: its name and size, its licence, and its sources."""

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from ..config.error_messages import CROP_PATTERN
from .http import SAFE_NAME, Link, Patience


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Row):
    """A file that a source offers, or a copy that people are known to have."""

    name: str = Field(pattern=f"^{SAFE_NAME.pattern}$")  # on this machine
    at: str = ""  # its address; on Google Drive its id
    checksum: str = Field("", pattern=r"^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})?$")  # empty: none is published
    size_bytes: int | None = Field(None, gt=0)  # exactly; None: unknown
    needed: bool = True  # the dataset is useless without it


class DownloadSource(_Row):
    """A place to download files from; each kind of place is a subclass."""

    opens: str = ""  # the file to open as the dataset; empty: the folder of all files
    patience: Patience = Patience()

    @property
    def title(self) -> str:
        """Its name in messages."""
        raise NotImplementedError

    @property
    def folder(self) -> str:
        """The folder inside the dataset's own that its files go to; empty: the dataset's own."""
        return ""

    def links(self) -> Sequence[Link]:
        """Return the files to download, the needed ones first.

        Raises:
            DownloadError: The place cannot be reached or does not have them.
        """
        raise NotImplementedError

    @property
    def key(self) -> str:
        """The name of the folder for its unfinished downloads."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


class Publication(_Row):
    """A published dataset."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")  # in `facegan download` and `--data`
    title: str  # its full name, with its authors
    about: str = ""  # a sentence
    num_images: int = Field(gt=0)  # that were published
    size_bytes: int = Field(gt=0)  # of the download from the first source, approximately
    licence: str = Field(min_length=1)  # its terms, in a few words
    licence_url: str
    crop: str = Field("auto", pattern=CROP_PATTERN)  # the meaning of crop="auto" for its images
    sources: tuple[DownloadSource, ...] = Field(min_length=1)  # in the order in which they are tried
    copies: tuple[File, ...] = ()  # files that people may have from elsewhere, with checksums and sizes
    by_hand: str  # the file to download by hand when no source works
    by_hand_url: str  # the page where a person finds it
