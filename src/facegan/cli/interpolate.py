"""`facegan interpolate`."""

from ..api import animation
from .options import verb_command

EXAMPLES = """
    $ facegan interpolate --seeds 3,14,15 --loop -o walk.gif
    walk.gif

    $ facegan interpolate --corners 3,14,15,92 -o sheet.png
    sheet.png
    """
interpolate = verb_command(animation.interpolate, EXAMPLES)
