"""Which training images samples are near to, and whether they are nearer than unseen images are."""

from .comparing import Comparison, Unseen, compare
from .drawing import check_fits, sheet
from .memorisation import Memorisation, Share, measure
from .search import Neighbours, nearest
from .spaces import Space, features, pixels

__all__ = [
    "Comparison",
    "Memorisation",
    "Neighbours",
    "Share",
    "Space",
    "Unseen",
    "check_fits",
    "compare",
    "features",
    "measure",
    "nearest",
    "pixels",
    "sheet",
]
