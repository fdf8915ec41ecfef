"""Where tensors become pictures: 8-bit pixels, sheets of them, and files."""

from .animation import FILMS, MOST_FPS, check_film, save_animation
from .equations import equation
from .files import ENDINGS, check_ending, read_about, read_grid, save, write_png
from .folder import write_pictures
from .pixels import to_float, to_uint8
from .reading import difference, read_frames
from .rows import rows
from .sheets import GAP, LEGIBLE, beside, captioned, contact_sheet, grid, near_square

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
    "contact_sheet",
    "difference",
    "equation",
    "grid",
    "near_square",
    "read_about",
    "read_frames",
    "read_grid",
    "rows",
    "save",
    "save_animation",
    "to_float",
    "to_uint8",
    "write_pictures",
    "write_png",
]
