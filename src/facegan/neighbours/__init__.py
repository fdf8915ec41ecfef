"""The training images nearest to samples, and whether samples are nearer to them than unseen images are."""

from .feature_spaces import Space, features, pixels
from .find import FoundNeighbours, NeighbourSettings, SpaceComparison, compare, find_neighbours
from .memorisation import Memorisation, Share, measure
from .search import Neighbours, nearest
from .sheet import check_sheet_size, sheet

__all__ = [
    "FoundNeighbours",
    "Memorisation",
    "NeighbourSettings",
    "Neighbours",
    "Share",
    "Space",
    "SpaceComparison",
    "check_sheet_size",
    "compare",
    "features",
    "find_neighbours",
    "measure",
    "nearest",
    "pixels",
    "sheet",
]
