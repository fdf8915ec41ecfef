"""Pictures of numbers: curves of runs, and metrics over steps."""

from .courses import Course, course, over_steps, save_over_steps, unlike
from .lines import BINS, COLOURS, ENDINGS, curves, read_columns, save_arrays, save_curves

__all__ = [
    "BINS",
    "COLOURS",
    "ENDINGS",
    "Course",
    "course",
    "curves",
    "over_steps",
    "read_columns",
    "save_arrays",
    "save_curves",
    "save_over_steps",
    "unlike",
]
