"""`facegan timelapse`."""

from ..api import animation
from .console import print_lines
from .options import Options, command

EXAMPLES = """
    $ facegan timelapse
    timelapse.gif

    $ facegan timelapse runs/celeba-1 --seconds 12 -o celeba.mp4
    celeba.mp4
    """


@command(animation.timelapse, EXAMPLES)
def timelapse(options: Options) -> None:
    """Print the file."""
    animation.timelapse(**options)
    print_lines(options["out"])
