"""Where tensors become images: 8-bit pixels, sheets of them, and files."""

from .animation import FILMS, MOST_FPS, check_film, save_animation
from .equations import equation, equation_size
from .files import ENDINGS, check_ending, check_fits, read_about, read_grid, save, write_png
from .folder import write_images
from .layouts import GAP, LEGIBLE, beside, captioned, contact_sheet, grid, grid_size, near_square
from .pixels import to_float, to_uint8
from .reading import difference, ending_of, read_frames
from .rows import rows, rows_size

__all__ = [
    "ENDINGS",
    "FILMS",
    "GAP",
    "LEGIBLE",
    "MOST_FPS",
    "beside",
    "captioned",
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
    "to_float",
    "to_uint8",
    "write_images",
    "write_png",
]
