"""Datasets that others publish, as dataset plugins; one's own joins them by a subclass with a row of its own."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from .. import plugins
from ..downloads import CELEBA, FFHQ_THUMBNAILS, LFW, Publication, locate
from ..errors import ConfigError, DataError, PluginError
from ..messages import nearest
from .open import open_path
from .source import ImageSource


class PublishedDataset(BaseModel):
    """A published dataset; `facegan download` fetches it under the name of its row, which is also the plugin's.

    Attributes:
        publication: The row that says what it is and where it is fetched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    publication: ClassVar[Publication]

    def open(self) -> ImageSource:
        """Open the copy that is on this machine.

        Raises:
            DataError: There is none yet, it has gone, or it cannot be read.
        """
        row = self.publication
        path = locate(row.name)
        if path is None:
            raise DataError(f"{row.name}: known, but not downloaded; run 'facegan download {row.name}'")
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
    """The row of a dataset.

    Raises:
        DataError: There is no dataset of this name.
        ConfigError: It is one that needs no download.
        PluginError: It cannot be loaded, or calls itself by another name.
    """
    if name not in plugins.names("dataset"):
        raise DataError(f"{name}: no such dataset; {nearest(name, plugins.names('dataset'))}")
    row = _row(plugins.find("dataset", name))
    if row is None:
        raise ConfigError(f"{name}: there is nothing to download; run 'facegan train --data {name}'")
    if row.name != name:
        raise PluginError(f"dataset '{name}': its publication is called '{row.name}'; they must have one name")
    return row


def publications() -> tuple[list[Publication], list[str]]:
    """The rows of all datasets that are downloaded, and in a line each what is wrong with those that cannot be told."""
    rows, complaints = [], []
    for name in plugins.names("dataset"):
        try:
            rows.append(publication(name))
        except PluginError as error:
            complaints.append(str(error))
        except ConfigError:  # nothing to download
            continue
    return rows, complaints


def _row(part: Any) -> Publication | None:
    row = getattr(part, "publication", None)
    return row if isinstance(row, Publication) else None
