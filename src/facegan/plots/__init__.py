"""Pictures of numbers: curves of runs, metrics over steps, and bars of what generators make."""

from .bars import attributes, save_attributes
from .courses import Course, course, over_steps, save_over_steps, unlike
from .lines import BINS, COLOURS, ENDINGS, curves, read_columns, save_arrays, save_curves

__all__ = [
    "BINS",
    "COLOURS",
    "ENDINGS",
    "Course",
    "attributes",
    "course",
    "curves",
    "over_steps",
    "read_columns",
    "save_arrays",
    "save_attributes",
    "save_curves",
    "save_over_steps",
    "unlike",
]
