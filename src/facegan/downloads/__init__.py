"""Published datasets: what they are, how they are fetched, and where copies of them lie. No torch here.

`catalog` is the table of the built-in rows; a row is a `Publication`. `fetch.download` brings one here from the first
of its sources that works; `transfer.fetch` brings one file.
"""

from ..storage.cache import cache_root
from .catalog import CELEBA, FFHQ_THUMBNAILS, LFW
from .drive import DriveSource
from .hub import HubSource
from .links import Link, Patience
from .places import locate, recall, register, remember
from .publication import File, Publication, Source
from .web import WebSource

__all__ = [
    "CELEBA",
    "FFHQ_THUMBNAILS",
    "LFW",
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
