"""A dataset that others publish, as a row of a table: what it is, what its owners allow, and where it is fetched."""

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from ..config.error_messages import CROP_PATTERN
from .links import SAFE_NAME, Link, Patience


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Row):
    """A file that a source offers, or that people are known to have.

    Attributes:
        name: Its name once it is here.
        at: Its address; on Google Drive its id.
        checksum: `md5:...` or `sha256:...`; empty: its publisher names none.
        size_bytes: Its exact size; None: not known.
        needed: Whether the dataset is of no use without it.
    """

    name: str = Field(pattern=f"^{SAFE_NAME.pattern}$")
    at: str = ""
    checksum: str = Field("", pattern=r"^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})?$")
    size_bytes: int | None = Field(None, gt=0)
    needed: bool = True


class Source(_Row):
    """A place that files are fetched from; a kind of place is a subclass.

    Attributes:
        opens: The file that is opened as the dataset; empty: the folder of all files.
        patience: How often and how long it is tried.
    """

    opens: str = ""
    patience: Patience = Patience()

    @property
    def title(self) -> str:
        """What messages call it."""
        raise NotImplementedError

    @property
    def folder(self) -> str:
        """The folder inside the dataset's own that its files go to; empty: the dataset's own."""
        return ""

    def links(self) -> Sequence[Link]:
        """The files to fetch, those that are needed first.

        Raises:
            DownloadError: The place cannot be reached or does not hold them.
        """
        raise NotImplementedError

    @property
    def key(self) -> str:
        """A file name for what is on its way from here."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


class Publication(_Row):
    """A dataset that others publish.

    Attributes:
        name: What `facegan download` and `--data` call it.
        title: Its full name, with its authors.
        about: What it is, in a sentence.
        num_images: How many images it holds.
        size_bytes: What its first source sends, about.
        licence: What its owners allow, in a few words.
        licence_url: Where the licence is written.
        crop: What crop="auto" means for its images.
        sources: Where it is fetched, in the order in which they are tried.
        copies: Files that people have from elsewhere, with what is known of them.
        by_hand: The file to fetch by hand when no source works.
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
    sources: tuple[Source, ...] = Field(min_length=1)
    copies: tuple[File, ...] = ()
    by_hand: str
    by_hand_url: str
