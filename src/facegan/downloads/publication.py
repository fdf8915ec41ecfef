"""A published dataset as a row of a table: what it is, what its licence allows, and where it is downloaded."""

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from ..config.error_messages import CROP_PATTERN
from .http import SAFE_NAME, Link, Patience


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Row):
    """A file that a source offers, or a copy that people are known to have.

    Attributes:
        name: Its name on this machine.
        at: Its address; on Google Drive its id.
        checksum: `md5:...` or `sha256:...`; empty: none is published.
        size_bytes: Its exact size; None: unknown.
        needed: Whether the dataset is useless without it.
    """

    name: str = Field(pattern=f"^{SAFE_NAME.pattern}$")
    at: str = ""
    checksum: str = Field("", pattern=r"^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})?$")
    size_bytes: int | None = Field(None, gt=0)
    needed: bool = True


class DownloadSource(_Row):
    """A place to download files from; each kind of place is a subclass.

    Attributes:
        opens: The file to open as the dataset; empty: the folder of all files.
        patience: How often and how long to try it.
    """

    opens: str = ""
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
    """A published dataset.

    Attributes:
        name: Its name in `facegan download` and `--data`.
        title: Its full name, with its authors.
        about: A sentence about it.
        num_images: The number of images that were published.
        size_bytes: The approximate size of the download from the first source.
        licence: What it allows, in a few words.
        licence_url: Where the licence is written.
        crop: The meaning of crop="auto" for its images.
        sources: Where to download it, in the order in which they are tried.
        copies: Files that people may have from elsewhere, with their checksums and sizes.
        by_hand: The file to download by hand when no source works.
        by_hand_url: The page where a person finds it.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str
    about: str = ""
    num_images: int = Field(gt=0)
    size_bytes: int = Field(gt=0)
    licence: str = Field(min_length=1)
    licence_url: str
    crop: str = Field("auto", pattern=CROP_PATTERN)
    sources: tuple[DownloadSource, ...] = Field(min_length=1)
    copies: tuple[File, ...] = ()
    by_hand: str
    by_hand_url: str
