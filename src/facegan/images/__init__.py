"""Images as 8-bit pixels, arranged on sheets, and written to files."""

from .animation import FILMS, MOST_FPS, check_film, difference, ending_of, read_frames, save_animation
from .files import ENDINGS, check_ending, check_fits, read_about, read_grid, save, write_images, write_png
from .layouts import (
    GAP,
    LEGIBLE,
    Term,
    add_captions,
    contact_sheet,
    equation,
    equation_size,
    grid,
    grid_size,
    near_square,
    rows,
    rows_size,
    side_by_side,
)
from .pixels import to_float, to_uint8

__all__ = [
    "ENDINGS",
    "FILMS",
    "GAP",
    "LEGIBLE",
    "MOST_FPS",
    "Term",
    "add_captions",
    "check_ending",
    "check_film",
    "check_fits",
    "contact_sheet",
    "difference",
    "ending_of",
    "equation",
    "equation_size",
    "grid",
    "grid_size",
    "near_square",
    "read_about",
    "read_frames",
    "read_grid",
    "rows",
    "rows_size",
    "save",
    "save_animation",
    "side_by_side",
    "to_float",
    "to_uint8",
    "write_images",
    "write_png",
]
