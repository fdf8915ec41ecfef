"""Published datasets as dataset plugins; add your own as a subclass with a `Publication`."""

from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from .. import plugins
from ..downloads import CELEBA, FFHQ_THUMBNAILS, LFW, Publication, locate
from ..errors import ConfigError, DataError, PluginError
from ..messages import nearest
from .open import open_path
from .source import ImageSource, shown


class PublishedDataset(BaseModel):
    """A published dataset, which `facegan download` fetches under the name of its publication and of its plugin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    publication: ClassVar[Publication]  # its name, licence, size and sources

    def open(self) -> ImageSource:
        """Open the copy on this machine.

        Raises:
            DataError: There is none yet, it no longer exists, or it cannot be read.
        """
        row = self.publication
        path = locate(row.name)
        if path is None:
            raise DataError(
                f"{row.name}: known, but not downloaded; {_offer(row.name)}run 'facegan download {row.name}'"
            )
        return open_path(path, crop=row.crop)


class CelebA(PublishedDataset):
    """202,599 celebrities with 40 attributes each (Liu, Luo, Wang, Tang 2015)."""

    publication = CELEBA


class LabeledFaces(PublishedDataset):
    """13,233 people in the news (Huang, Ramesh, Berg, Learned-Miller 2007)."""

    publication = LFW


class FFHQThumbnails(PublishedDataset):
    """70,000 portraits from Flickr at 128x128 (Karras, Laine, Aila 2019)."""

    publication = FFHQ_THUMBNAILS


def publication(name: str) -> Publication:
    """Return the publication of a dataset.

    Raises:
        DataError: There is no dataset of this name.
        ConfigError: It needs no download.
        PluginError: It cannot be loaded, or its publication has another name.
    """
    if name not in plugins.names("dataset"):
        raise DataError(f"{name}: no such dataset; {nearest(name, plugins.names('dataset'))}")
    row = getattr(plugins.find("dataset", name), "publication", None)
    if not isinstance(row, Publication):
        raise ConfigError(f"{name}: there is nothing to download; run 'facegan train --data {name}'")
    if row.name != name:
        raise PluginError(f"dataset '{name}': its publication is called '{row.name}'; they must have one name")
    return row


def publications() -> tuple[list[Publication], list[str]]:
    """Return the publications of all downloadable datasets, and one line about each that is broken."""
    rows, problems = [], []
    for name in plugins.names("dataset"):
        try:
            rows.append(publication(name))
        except PluginError as error:
            problems.append(str(error))
        except ConfigError:  # nothing to download
            continue
    return rows, problems


def _offer(name: str) -> str:
    """Return advice to take a folder or an archive of this name, in any case, from the working folder, if any."""
    with suppress(OSError):
        for path in sorted(Path().iterdir()):
            stem = path.name.partition(".")[0] if path.suffix in (".zip", ".tar", ".tgz", ".gz", ".parquet") else ""
            if name in (path.name.casefold(), stem.casefold()):
                kind = "archive" if stem else "folder"
                return f"take the {kind} of that name here as ./{shown(path.name)}, or "
    return ""
