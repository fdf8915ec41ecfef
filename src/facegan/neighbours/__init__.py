"""The training images nearest to samples, and whether samples are nearer to them than unseen images are."""

from .feature_spaces import Space, features, pixels
from .find import FoundNeighbours, NeighbourSettings, SpaceComparison, compare_in_space, find_neighbours
from .memorisation import Memorisation, Share, measure_memorisation
from .search import NearestImages, find_nearest
from .sheet import check_sheet_size, draw_sheet

__all__ = [
    "FoundNeighbours",
    "Memorisation",
    "NearestImages",
    "NeighbourSettings",
    "Share",
    "Space",
    "SpaceComparison",
    "check_sheet_size",
    "compare_in_space",
    "draw_sheet",
    "features",
    "find_nearest",
    "find_neighbours",
    "measure_memorisation",
    "pixels",
]
