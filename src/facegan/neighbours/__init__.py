"""Which training pictures samples are near to, and whether they are nearer than unseen pictures are."""

from .comparing import Comparison, Unseen, compare
from .drawing import check_fits, sheet
from .heldout import held_out, pick, unseen
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
    "held_out",
    "measure",
    "nearest",
    "pick",
    "pixels",
    "sheet",
    "unseen",
]
