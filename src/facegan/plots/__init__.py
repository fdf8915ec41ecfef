"""Pictures of numbers: curves of runs, and bars of what generators make."""

from .bars import attributes, save_attributes
from .lines import BINS, COLOURS, ENDINGS, curves, read_columns, save_arrays, save_curves

__all__ = [
    "BINS",
    "COLOURS",
    "ENDINGS",
    "attributes",
    "curves",
    "read_columns",
    "save_arrays",
    "save_attributes",
    "save_curves",
]
