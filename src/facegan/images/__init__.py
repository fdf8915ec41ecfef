"""Where tensors become pictures: 8-bit pixels, sheets of them, and files."""

from .animation import save_animation
from .files import ENDINGS, check_ending, read_about, read_grid, save, write_png
from .pixels import to_float, to_uint8
from .rows import rows
from .sheets import GAP, LEGIBLE, beside, captioned, contact_sheet, grid, near_square

__all__ = [
    "ENDINGS",
    "GAP",
    "LEGIBLE",
    "beside",
    "captioned",
    "check_ending",
    "contact_sheet",
    "grid",
    "near_square",
    "read_about",
    "read_grid",
    "rows",
    "save",
    "save_animation",
    "to_float",
    "to_uint8",
    "write_png",
]
