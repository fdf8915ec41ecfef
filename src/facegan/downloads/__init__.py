"""Published datasets and weights: their catalog, their download, the registry of copies. No torch here."""

from ..storage.cache import cache_root
from .catalog import CELEBA, FFHQ_THUMBNAILS, LFW
from .http import Link, Patience
from .publication import DownloadSource, File, Publication
from .registry import locate, recall, register, remember
from .sources import DriveSource, HubSource, WebSource

Source = DownloadSource  # its documented name

__all__ = [
    "CELEBA",
    "FFHQ_THUMBNAILS",
    "LFW",
    "DownloadSource",
    "DriveSource",
    "File",
    "HubSource",
    "Link",
    "Patience",
    "Publication",
    "Source",
    "WebSource",
    "cache_root",
    "locate",
    "recall",
    "register",
    "remember",
]
