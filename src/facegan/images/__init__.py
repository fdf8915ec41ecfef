"""Images as 8-bit pixels, arranged on sheets, and written to files."""

from .animation import read_frames, save_animation
from .files import check_ending, save
from .layouts import contact_sheet, grid
from .pixels import to_float, to_uint8

__all__ = ["check_ending", "contact_sheet", "grid", "read_frames", "save", "save_animation", "to_float", "to_uint8"]
